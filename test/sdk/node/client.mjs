// The official clients for Node, asked line by line: each line of standard input
// is a question in JSON, each line of standard output what a client made of it.
//
//   {"id", "client": "openai" | "responses" | "anthropic" | "gemini" | "ollama", "how", "base", "key", "tries", "body"}
//   {"id", "text", "finished", "code", "status", "attempts", "error", "answer"}
//
// how is whole, iterate (a stream as it comes), help (the client's own helper,
// which gathers a stream), models, completions or embeddings; of Ollama's client
// also list, show, embed or generate.
import { createInterface } from 'node:readline';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import { Ollama } from 'ollama';

const dialects = {
  openai: {
    make: (options) => new OpenAI({ ...options, baseURL: `${options.baseURL}/v1` }),
    whole: (c, body) => c.chat.completions.create(body),
    iterate: (c, body) => c.chat.completions.create({ ...body, stream: true }),
    help: (c, body) => c.chat.completions.stream(body),
    final: (stream) => stream.finalChatCompletion(),
    text: (event) => event.choices?.[0]?.delta?.content ?? '',
    finished: (event) => Boolean(event.choices?.[0]?.finish_reason),
    code: (error) => error.code,
  },
  responses: {
    make: (options) => new OpenAI({ ...options, baseURL: `${options.baseURL}/v1` }),
    whole: (c, body) => c.responses.create(body),
    iterate: (c, body) => c.responses.create({ ...body, stream: true }),
    help: (c, body) => c.responses.stream(body),
    final: (stream) => stream.finalResponse(),
    text: (event) => (event.type === 'response.output_text.delta' ? event.delta : ''),
    finished: (event) => event.type === 'response.completed' || event.type === 'response.incomplete',
    code: (error) => error.code,
  },
  anthropic: {
    make: (options) => new Anthropic({ ...options, authToken: null }),
    whole: (c, body) => c.messages.create(body),
    iterate: (c, body) => c.messages.create({ ...body, stream: true }),
    help: (c, body) => c.messages.stream(body),
    final: (stream) => stream.finalMessage(),
    text: (event) => event.delta?.text ?? '',
    finished: (event) => event.type === 'message_stop',
    code: (error) => error.type,
  },
  gemini: { // takes no fetch of ours, so its attempts are not counted
    make: (options) => new GoogleGenAI({ apiKey: options.apiKey, httpOptions: { baseUrl: options.baseURL } }),
    whole: (c, body) => c.models.generateContent(body),
    iterate: (c, body) => c.models.generateContentStream(body),
    text: (event) => event.candidates?.[0]?.content?.parts?.map((p) => p.text ?? '').join('') ?? '',
    finished: (event) => Boolean(event.candidates?.[0]?.finishReason),
    code: (error) => error.name,
  },
  ollama: {
    make: (options) => new Ollama({ host: options.baseURL, fetch: options.fetch, headers: { Authorization: `Bearer ${options.apiKey}` } }),
    whole: (c, body) => c.chat(body),
    iterate: (c, body) => c.chat({ ...body, stream: true }),
    text: (event) => event.message?.content ?? '',
    finished: (event) => event.done,
    code: (error) => error.name,
  },
};

async function answer(q) {
  const d = dialects[q.client];
  const a = { id: q.id, text: '', finished: false, attempts: 0 };
  const client = d.make({
    baseURL: q.base,
    apiKey: q.key,
    maxRetries: q.tries ?? 2,
    logLevel: 'off',
    fetch: (...args) => {
      a.attempts++;
      return fetch(...args);
    },
  });
  const read = async (stream) => {
    for await (const event of stream) {
      a.text += d.text(event);
      a.finished ||= d.finished(event);
    }
  };
  try {
    switch (q.how) {
      case 'models':
        a.answer = [];
        for await (const m of await client.models.list()) a.answer.push(m.id ?? m.name);
        break;
      case 'list':
        a.answer = await client.list();
        break;
      case 'show':
        a.answer = await client.show(q.body);
        break;
      case 'embed':
        a.answer = await client.embed(q.body);
        break;
      case 'generate':
        for await (const event of await client.generate({ ...q.body, stream: true })) {
          a.text += event.response;
          a.finished ||= event.done;
        }
        break;
      case 'completions':
        for await (const event of await client.completions.create({ ...q.body, stream: true })) {
          a.text += event.choices[0]?.text ?? '';
          a.finished ||= Boolean(event.choices[0]?.finish_reason);
        }
        break;
      case 'embeddings': // the client asks for base64 by itself
        a.answer = await client.embeddings.create(q.body);
        break;
      case 'whole':
        a.answer = await d.whole(client, q.body);
        break;
      case 'iterate':
        await read(await d.iterate(client, q.body));
        break;
      case 'help': {
        const stream = d.help(client, q.body);
        const final = d.final(stream);
        final.catch(() => {}); // awaited below, unless reading fails first
        await read(stream);
        a.answer = await final;
        break;
      }
      default:
        throw new Error(`no way to ask: ${q.how}`);
    }
  } catch (error) {
    a.error = `${error?.constructor?.name}: ${error?.message}`;
    a.code = d.code(error) ?? '';
    a.status = error.status ?? error.status_code ?? 0;
  }
  return a;
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((a) => process.stdout.write(`${JSON.stringify(a)}\n`));
}
