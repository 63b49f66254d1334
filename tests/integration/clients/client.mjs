// Node's http2 and https against the gateway. Arguments: origin, path prefix, CA certificate (PEM), "h2"
// or "h1", bytes of an upload, rounds. Prints the hash of each download and "done"; any difference throws.
import assert from "node:assert";
import crypto from "node:crypto";
import fs from "node:fs";
import http2 from "node:http2";
import https from "node:https";

const [base, prefix, pem, protocol, size, rounds] = process.argv.slice(2);
const ca = fs.readFileSync(pem);
const body = crypto.randomBytes(Number(size));
const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

function overHttp2(session) {
  return async (method, path, sent) => {
    const stream = session.request({ ":method": method, ":path": path });
    const head = new Promise((resolve, reject) => stream.on("response", resolve).on("error", reject));
    stream.end(sent);
    assert.equal((await head)[":status"], 200);
    return collect(stream);
  };
}

function overHttp1(agent) {
  return async (method, path, sent) => {
    const request = https.request(base + path, { method, agent, ca });
    const head = new Promise((resolve, reject) => request.on("response", resolve).on("error", reject));
    request.end(sent);
    const response = await head;
    assert.equal(response.statusCode, 200);
    return collect(response);
  };
}

// What waits to be sent counts as the session's memory, of which Node allows 10 MB unless told otherwise.
const session = protocol === "h2" ? http2.connect(base, { ca, maxSessionMemory: 100 }) : null;
const agent = new https.Agent({ keepAlive: true, maxSockets: 3 });
const ask = session ? overHttp2(session) : overHttp1(agent);
for (let round = 0; round < Number(rounds); ++round) {
  const turns = [...Array(8).keys()].map(async (i) => {
    if (i % 2 === 0) {
      console.log("download", sha256(await ask("GET", `${prefix}/bytes/${size}`)));
    } else {
      assert.equal(JSON.parse(await ask("POST", `${prefix}/upload`, body)).sha256, sha256(body));
    }
  });
  await Promise.all(turns);
}
session?.close();
agent.destroy();
console.log("done");
