// The calls of the cases, made with the official OpenAI SDK for Node.
import { sdk, serve } from './calling.mjs';

const OpenAI = sdk.default ?? sdk.OpenAI ?? sdk;

function call(url, one) {
  const client = new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: one.key,
    maxRetries: one.retries,
    timeout: one.timeout_s * 1000,
    defaultHeaders: one.headers,
  });
  return CALLS[one.call](client, one);
}

function asked(one) {
  const messages = [{ role: 'user', content: one.text }];
  return { model: one.model, messages, ...one.fields };
}

const CALLS = {
  async json(client, one) {
    const answer = await client.chat.completions.create(asked(one));
    const [choice] = answer.choices;
    return {
      text: choice.message.content,
      finish: choice.finish_reason,
      output_tokens: answer.usage.completion_tokens,
      request_id: answer._request_id,
    };
  },
  async stream(client, one) {
    const stream = await client.chat.completions.create({ ...asked(one), stream: true });
    let said = '';
    let finish = null;
    for await (const chunk of stream) {
      for (const choice of chunk.choices) {
        said += choice.delta.content ?? '';
        finish = choice.finish_reason ?? finish;
      }
    }
    return { text: said, finish };
  },
};

function failure(error) {
  return {
    status: error.status ?? null,
    type: error.type ?? null,
    code: error.code ?? null,
    param: error.param ?? null,
    body: error.error ?? null,
    request_id: error.requestID ?? error.request_id ?? null,
    message: String(error.message).slice(0, 300),
  };
}

await serve(call, failure);
