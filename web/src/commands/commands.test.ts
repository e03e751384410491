import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { hash: "" });
for (const name of ["addEventListener", "matchMedia", "localStorage", "sessionStorage", "document", "navigator"]) vi.stubGlobal(name, stub(name));
const { COMMANDS } = await import("./commands");

function stub(name: string): unknown {
  const nothing = (): undefined => undefined;
  if (name === "addEventListener") return nothing;
  if (name === "matchMedia") return () => ({ matches: false, addEventListener: nothing });
  if (name === "document") return { documentElement: { dataset: {} }, addEventListener: nothing };
  if (name === "navigator") return { languages: ["en"], platform: "Linux" };
  return { getItem: () => null, setItem: nothing };
}

const duplicates = (values: readonly (string | undefined)[]) => values.filter((value, at) => value !== undefined && values.indexOf(value) !== at);

test("no two commands have the same id, name, keys or slash", () => {
  for (const key of ["id", "says", "keys", "slash"] as const) expect(duplicates(COMMANDS.map((command) => command[key]))).toEqual([]);
});

test("no slash command of the page begins like one of the demo agent's", () => {
  for (const agents of ["long", "help", "tool", "approve", "steer", "reason", "markdown", "fail", "stall"]) {
    expect(COMMANDS.filter(({ slash }) => slash?.startsWith(agents))).toEqual([]);
  }
});
