// Import programs one after another, and tell what each printed and how it ended: node run_snippets.mjs FILE...
// Nothing is looked up: who is asked for by name is listed under `refused`.
import dns from "node:dns";
import net from "node:net";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

const refused = [];
dns.lookup = (name, ...rest) => {
  refused.push(name);
  rest.at(-1)(new Error(`${name} is not for tests`));
};
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const { host } = (Array.isArray(given[0]) ? given[0][0] : given[0]) ?? {};
  if (host && !["127.0.0.1", "localhost", "::1"].includes(host)) refused.push(host);
  return connect.apply(this, given);
};

const log = console.log;
const ran = {};
for (const file of process.argv.slice(2)) {
  const said = [];
  console.log = (...words) => said.push(words.join(" ") + "\n");
  console.error = () => {};
  const told = { error: "", message: "" };
  try {
    await import(pathToFileURL(file));
  } catch (error) {
    told.error = error.constructor.name;
    told.message = error.message;
  }
  ran[basename(file, ".mjs")] = { said: said.join(""), ...told };
}
log(JSON.stringify({ ran, refused }));
