import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const PYTHON = process.env["LEGATO_PYTHON"] ?? join(import.meta.dirname, "../../../.venv/bin/python");

/** `legato serve` with the demo agent, on a port and a database that outlive the process. */
export class Server {
  readonly #directory = mkdtempSync(join(tmpdir(), "legato-ts-"));
  #port = 0;
  #process: ChildProcess | null = null;

  get url(): string {
    return `http://127.0.0.1:${String(this.#port)}`;
  }
  async start(): Promise<void> {
    this.#port ||= await freePort();
    const own = Object.entries(process.env).filter(([name]) => !/^(LEGATO_|OPENAI_|ANTHROPIC_|DATABASE_URL)/.test(name));
    const started = spawn(PYTHON, ["-m", "legato.cli", "serve", "--port", String(this.#port), "--database", `sqlite:///${this.#directory}/chat.db`], {
      cwd: this.#directory,
      env: { ...Object.fromEntries(own), LEGATO_TITLES: "0" },
      stdio: "ignore",
    });
    this.#process = started;
    while (!(await this.#isReady())) {
      if (started.exitCode !== null) throw new Error(`the server exited with ${String(started.exitCode)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  async kill(): Promise<void> {
    const gone = this.#process;
    this.#process = null;
    if (!gone || gone.exitCode !== null) return;
    const exit = once(gone, "exit");
    gone.kill("SIGKILL");
    await exit;
  }
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
  #isReady(): Promise<boolean> {
    return fetch(`${this.url}/readyz`).then((response) => response.ok, () => false);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
