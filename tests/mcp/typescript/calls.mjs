// node calls.mjs URL TOKEN MODE: lists the tools, calls those that stdin has arguments for, prints JSON.
// MODE: `v1`, the client of before 2026; else how the client of today negotiates: `legacy`, `auto`, or a version.
import { text } from "node:stream/consumers";

const [url, token, mode] = process.argv.slice(2);
const asked = JSON.parse(await text(process.stdin));
const info = { name: "tests", version: "1" };
const init = { requestInit: { headers: { authorization: `Bearer ${token}` } } };

async function connected() {
  if (mode === "v1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(info);
    await client.connect(new StreamableHTTPClientTransport(new URL(url), init));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const negotiated = mode === "legacy" || mode === "auto" ? mode : { pin: mode };
  const client = new Client(info, { versionNegotiation: { mode: negotiated } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), init));
  return client;
}

const client = await connected();
const tools = [];
let cursor;
do {
  const page = await client.listTools(cursor ? { cursor } : {});
  tools.push(...page.tools);
  cursor = page.nextCursor;
} while (cursor);

const results = {};
for (const tool of tools) {
  if (!(tool.name in asked)) continue;
  // The client checks what is structured against the tool's schema and throws where it is otherwise.
  results[tool.name] = await client.callTool({ name: tool.name, arguments: asked[tool.name] });
}
console.log(JSON.stringify({ server: client.getServerVersion(), tools: tools.map((tool) => tool.name), results }));
await client.close();
