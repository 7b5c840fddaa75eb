// The AI SDK, asked line by line as client.mjs is.
//
//   {"id", "client": "openai" | "responses" | "compatible" | "anthropic" | "google", "how", "base", "key", "body"}
//   {"id", "text", "finished", "code", "status", "attempts", "error", "answer"}
//
// how is text (generateText), stream (streamText, by its parts), plain (streamText,
// by its text alone), tools (generateText, which calls the tool weather and goes on),
// flow (streamText, which does so too), object (generateText with a schema) or list
// (streamText with a schema). body has model and prompt.
import { createInterface } from 'node:readline';
import { generateText, streamText, stepCountIs, tool, jsonSchema, Output, APICallError } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';

globalThis.AI_SDK_LOG_WARNINGS = false;

const models = {
  openai: (o, name) => createOpenAI({ ...o, baseURL: `${o.baseURL}/v1` }).chat(name),
  responses: (o, name) => createOpenAI({ ...o, baseURL: `${o.baseURL}/v1` }).responses(name),
  compatible: (o, name) =>
    createOpenAICompatible({ ...o, name: 'headworks', baseURL: `${o.baseURL}/v1`, includeUsage: true, supportsStructuredOutputs: true })(name),
  anthropic: (o, name) => createAnthropic({ ...o, baseURL: `${o.baseURL}/v1` })(name),
  google: (o, name) => createGoogleGenerativeAI({ ...o, baseURL: `${o.baseURL}/v1beta` })(name),
};

const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };

// code finds what an error says: in its body, or in the event that it was.
function code(error) {
  const body = error?.data?.error ?? error?.error ?? error?.value?.error ?? error; // value: an event that was none to it
  const reason = body?.details?.find?.((d) => d.reason)?.reason?.toLowerCase();
  return String(reason ?? body?.code ?? body?.type ?? error?.name ?? '');
}

async function answer(q) {
  const a = { id: q.id, text: '', finished: false, attempts: 0 };
  const wrong = (error) => {
    a.error = `${error?.name ?? typeof error}: ${error?.message ?? JSON.stringify(error)}`;
    a.code = code(error);
    a.status = APICallError.isInstance(error) && error.statusCode !== 200 ? error.statusCode : 0;
  };
  const called = [];
  const ask = {
    model: models[q.client]({
      baseURL: q.base,
      apiKey: q.key,
      fetch: (...args) => {
        a.attempts++;
        return fetch(...args);
      },
    }, q.body.model),
    prompt: q.body.prompt,
    maxRetries: 0, // it would come back whatever it is told
    maxOutputTokens: 100,
    providerOptions: { anthropic: { structuredOutputMode: 'outputFormat' } },
  };
  const tools = {
    weather: tool({
      description: 'the weather in a city',
      inputSchema: jsonSchema(city),
      execute: async (input) => {
        called.push(input.city);
        return { celsius: 21.5 };
      },
    }),
  };
  const parts = async (stream) => {
    for await (const part of stream.fullStream) {
      if (part.type === 'text-delta') a.text += part.text;
      if (part.type === 'error') wrong(part.error);
      if (part.type === 'finish') a.finished = !['error', 'other', 'unknown'].includes(part.finishReason);
    }
  };
  const quiet = { onError: () => {} }; // or it writes to the console
  try {
    switch (q.how) {
      case 'text': {
        const r = await generateText(ask);
        a.text = r.text;
        a.finished = r.finishReason === 'stop';
        a.answer = { reasoning: r.reasoningText ?? '', usage: [r.usage.inputTokens, r.usage.outputTokens] };
        break;
      }
      case 'stream':
        await parts(streamText({ ...ask, ...quiet }));
        break;
      case 'plain': {
        const r = streamText({ ...ask, ...quiet });
        for await (const text of r.textStream) a.text += text;
        a.finished = !['error', 'other', 'unknown'].includes(await r.finishReason);
        break;
      }
      case 'tools': {
        const r = await generateText({ ...ask, tools, stopWhen: stepCountIs(2) });
        a.text = r.text;
        a.finished = r.finishReason === 'stop';
        a.answer = called;
        break;
      }
      case 'flow':
        await parts(streamText({ ...ask, ...quiet, tools, stopWhen: stepCountIs(2) }));
        a.answer = called;
        break;
      case 'object':
        a.answer = (await generateText({ ...ask, output: Output.object({ schema: jsonSchema(city) }) })).output;
        break;
      case 'list': {
        const r = streamText({ ...ask, ...quiet, output: Output.object({ schema: jsonSchema(city) }) });
        await parts(r);
        a.answer = await r.output;
        break;
      }
      default:
        throw new Error(`no way to ask: ${q.how}`);
    }
  } catch (error) {
    if (!a.error) wrong(error);
  }
  return a;
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((a) => process.stdout.write(`${JSON.stringify(a)}\n`));
}
