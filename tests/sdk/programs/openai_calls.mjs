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
  async tools(client, one) {
    const answer = await client.chat.completions.create({ ...asked(one), tools: TOOLS });
    const [choice] = answer.choices;
    return { ...choice.message.tool_calls[0].function, finish: choice.finish_reason };
  },
  async tools_stream(client, one) {
    const stream = await client.chat.completions.create({
      ...asked(one),
      tools: TOOLS,
      stream: true,
      stream_options: { include_usage: true },
    });
    const found = { name: null, arguments: '', usages: 0 };
    for await (const chunk of stream) {
      found.usages += chunk.usage ? 1 : 0;
      for (const choice of chunk.choices) {
        found.finish = choice.finish_reason;
        for (const called of choice.delta.tool_calls ?? []) {
          found.name = called.function.name ?? found.name;
          found.arguments += called.function.arguments ?? '';
        }
      }
    }
    return found;
  },
  async response(client, one) {
    return told(await client.responses.create(input(one)));
  },
  async response_stream(client, one) {
    const events = [];
    let said = '';
    for await (const event of await client.responses.create({ ...input(one), stream: true })) {
      events.push(event);
      said += event.type === 'response.output_text.delta' ? event.delta : '';
    }
    const last = events.at(-1);
    // Only the whole response of a call that is no stream has the SDK's own `output_text`.
    const text = last.response.output[0].content[0].text;
    return { ...told({ ...last.response, output_text: text }), said, first: events[0].type };
  },
  async completion(client, one) {
    const asks = { model: one.model, prompt: one.text, ...one.fields };
    const answer = await client.completions.create(asks);
    let said = '';
    for await (const chunk of await client.completions.create({ ...asks, stream: true })) {
      said += chunk.choices[0].text;
    }
    return { text: answer.choices[0].text, said };
  },
  async embeddings(client, one) {
    const answer = await client.embeddings.create(input(one));
    const lengths = answer.data.map((found) => found.embedding.length);
    return { lengths, tokens: answer.usage.prompt_tokens };
  },
  async image(client, one) {
    const asks = { model: one.model, prompt: one.text, ...one.fields };
    const answer = await client.images.generate(asks);
    return { images: answer.data.map((found) => found.b64_json.slice(0, 8)) };
  },
  async models(client, one) {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model.id);
    return { listed, one: (await client.models.retrieve(one.model)).id };
  },
};

const TOOLS = [
  { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } },
];

function input(one) {
  return { model: one.model, input: one.text, ...one.fields };
}

function told(answer) {
  return {
    text: answer.output_text,
    status: answer.status,
    output_tokens: answer.usage.output_tokens,
  };
}

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
