// The calls of the cases, made with the official Anthropic SDK for Node.
import { sdk, serve } from './calling.mjs';

const Anthropic = sdk.default ?? sdk.Anthropic ?? sdk;

const TOOL = {
  name: 'weather',
  description: 'The weather of a city',
  input_schema: { type: 'object', properties: { city: { type: 'string' } } },
};

function call(url, one) {
  const client = new Anthropic({
    baseURL: url,
    apiKey: one.key,
    maxRetries: one.retries,
    timeout: one.timeout_s * 1000,
    defaultHeaders: one.headers,
  });
  return CALLS[one.call](client, one);
}

function asked(one) {
  const messages = [{ role: 'user', content: one.text }];
  return { model: one.model, max_tokens: 200, messages, ...one.fields };
}

function told(message) {
  const of = (kind) => message.content.filter((block) => block.type === kind);
  return {
    text: of('text').map((block) => block.text).join(''),
    tools: of('tool_use').map(({ name, input }) => ({ name, input })),
    finish: message.stop_reason,
    input_tokens: message.usage.input_tokens,
    output_tokens: message.usage.output_tokens,
    request_id: message._request_id ?? null,
  };
}

const CALLS = {
  async json(client, one) {
    return told(await client.messages.create(asked(one)));
  },
  async stream(client, one) {
    return told(await client.messages.stream(asked(one)).finalMessage());
  },
  async tools(client, one) {
    return told(await client.messages.create({ tools: [TOOL], ...asked(one) }));
  },
  async stream_tools(client, one) {
    return told(await client.messages.stream({ tools: [TOOL], ...asked(one) }).finalMessage());
  },
  async count(client, one) {
    const { max_tokens: _, ...fields } = asked(one);
    return { input_tokens: (await client.messages.countTokens(fields)).input_tokens };
  },
};

function failure(error) {
  return {
    status: error.status ?? null,
    type: error.type ?? null,
    code: error.errorCode ?? null,
    body: error.error ?? null,
    request_id: error.requestID ?? error.request_id ?? null,
    message: String(error.message).slice(0, 300),
  };
}

await serve(call, failure);
