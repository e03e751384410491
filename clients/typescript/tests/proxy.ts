import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Stands between client and server, and spoils what they have: cuts it, or swallows what the server says. */
export class Proxy {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #silent = new WeakSet<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }
  static async to(url: string): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server);
    server.on("connection", (client) => {
      proxy.#join(client, connect(Number(new URL(url).port), "127.0.0.1"));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }
  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
  /** The connections of now stay open, and bring nothing any more; later ones are whole. */
  silence(): void {
    for (const socket of this.#sockets) this.#silent.add(socket);
  }
  async remove(): Promise<void> {
    this.#server.close();
    this.cut();
    await once(this.#server, "close");
  }
  #join(client: Socket, server: Socket): void {
    for (const [one, other] of [[client, server], [server, client]] as const) {
      this.#sockets.add(one);
      one.on("data", (bytes) => {
        if (one === client || !this.#silent.has(client)) other.write(bytes);
      });
      one.on("error", () => undefined);
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }
}
