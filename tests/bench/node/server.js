// Socket.IO's own server, to compare with: no more than it takes to do what cmdb does for a client
// that watches websites. It holds sessions in memory alone, and keeps nothing of an event.
//
//     node server.js PORT CONTROL-PORT KEY-FILE
//
// PORT speaks Socket.IO, polling, with the defaults. A CONNECT has a token signed with the text in
// KEY-FILE (JWT, HS256); a socket gets the event `connected`.
// CONTROL-PORT takes HTTP:
//     POST /emit    its body, JSON, goes out to all as `data` of a `websites:update`
//     GET /status   "waiting: N": how many GETs are held
"use strict";

const { createHmac, timingSafeEqual } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const BACKLOG = 4096; // 5,000 clients come back at once
const [port, controlPort, keyFile] = process.argv.slice(2);
const key = readFileSync(keyFile, "utf8");

function check(token) {
  const [head, claims, signature] = String(token).split(".");
  const good = createHmac("sha256", key).update(`${head}.${claims}`).digest();
  const given = Buffer.from(signature ?? "", "base64url");
  if (JSON.parse(Buffer.from(head, "base64url")).alg !== "HS256" ||
      given.length !== good.length || !timingSafeEqual(given, good))
    throw new Error("Authentication failed");
  const payload = JSON.parse(Buffer.from(claims, "base64url"));
  if (!(payload.exp > Date.now() / 1000))
    throw new Error("Authentication failed");
  return payload;
}

const server = createServer();
const io = new Server(server, {
  transports: ["polling"],
  serveClient: false,
  perMessageDeflate: false,
  httpCompression: false,
});

io.use((socket, next) => {
  try {
    socket.data.user = check(socket.handshake.auth.token).sub;
    next();
  } catch {
    next(new Error("Authentication failed"));
  }
});
io.on("connection", (socket) => socket.emit("connected", { ok: true }));

// As lib/socket of engine.io has it: a polling transport is writable while a GET is held.
function waiting() {
  let n = 0;
  for (const client of Object.values(io.engine.clients))
    n += client.transport.writable ? 1 : 0;
  return n;
}

let eventId = 0;
const control = createServer((request, response) => {
  if (request.method === "GET") {
    response.end(`waiting: ${waiting()}\n`);
    return;
  }
  let body = "";
  request.on("data", (part) => { body += part; });
  request.on("end", () => {
    io.emit("websites:update", { eventId: ++eventId, type: "update", data: JSON.parse(body) });
    response.end("ok\n");
  });
});

control.listen(controlPort, "127.0.0.1");
server.listen(port, "127.0.0.1", BACKLOG);
