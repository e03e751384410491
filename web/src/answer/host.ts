/** Whose address this is; nobody's where it is none. */
export function host(address: string | undefined): string {
  return address && URL.canParse(address) ? new URL(address).host : "";
}

const ADDRESS = /(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}/u;

/** Whether a link's words name another host than that to which it leads. */
export function misleads(said: string, href: string): boolean {
  const named = ADDRESS.exec(URL.canParse(said.trim()) ? (new URL(said.trim()).host || said) : said)?.[0].toLowerCase();
  const bare = (name: string) => name.replace(/^www\./, "").replace(/:\d+$/, "");
  return named !== undefined && bare(named) !== bare(host(href));
}
