// Read one chat completion with OpenAI's client for Node.js: node read_stream.mjs BASE_URL PROMPT; prints what it got.
import { createRequire } from "node:module";

const require = createRequire(process.env.CLIENT_FOLDER + "/");
const { OpenAI } = require("openai");
const [base, prompt] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "none", maxRetries: 0 });
const ask = { model: prompt, messages: [{ role: "user", content: prompt }] };
const runner = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
const ids = new Set();
let reasoning = "";
runner.on("chunk", (chunk) => {
  ids.add(chunk.id);
  reasoning += chunk.choices[0]?.delta?.reasoning_content ?? "";
});
const streamed = await runner.finalChatCompletion();
const whole = await client.chat.completions.create(ask);
const said = (answer) => [answer.choices[0].message.content, answer.choices[0].finish_reason];
console.log(JSON.stringify({ ids: ids.size, reasoning, streamed: said(streamed), whole: said(whole), usage: streamed.usage }));
