import { useEffect, useState } from "react";
import { opened } from "../../commands/opened";
import { useWords } from "../../i18n";
import { Section } from "../Sheet";

export function About() {
  const words = useWords();
  const version = useVersion();
  return (
    <Section title={words("settingsAbout")}>
      {version && <p>{words("settingsVersion", { version })}</p>}
      <div className="settings-actions settings-after">
        <button type="button" onClick={() => opened.put({ dialog: "keys" })}>{words("keysOf")}</button>
        <a className="button" href="#diagnostics">{words("diagnostics")}</a>
        <a className="button" href="docs">API</a>
      </div>
    </Section>
  );
}

/** The server's, which its document of the API tells. */
function useVersion(): string | undefined {
  const [version, setVersion] = useState<string>();
  useEffect(() => {
    const ask = async (): Promise<void> => {
      const { info } = (await (await fetch("openapi.json")).json()) as { info: { version: string } };
      setVersion(info.version);
    };
    ask().catch(() => undefined); // then it is not told
  }, []);
  return version;
}
