// `node server.js <port>`: the handler that the package has for Node.
import { createServer } from "node:http";
import { toNodeHandler } from "better-auth/node";
import { auth } from "./auth.js";

createServer(toNodeHandler(auth)).listen(Number(process.argv[2]), "127.0.0.1");
