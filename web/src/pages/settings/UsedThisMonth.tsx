import type { Sums } from "legato-client";
import { spoken, useWords } from "../../i18n";
import { client } from "../../state/client";
import { Section, Table } from "../Sheet";
import { dollars } from "../../i18n/numbers";
import { useFetched } from "../useFetched";

/** Days are the server's, which are those of UTC. */
const monthBegins = (): string => `${new Date().toISOString().slice(0, 7)}-01`;
const askUsage = () => client.usage({ from: monthBegins(), groupBy: ["model"] });

export function UsedThisMonth() {
  const words = useWords();
  const [report] = useFetched(askUsage);
  const head = (["settingsModel", "settingsCalls", "settingsPrompt", "settingsCompletion", "settingsCost"] as const).map((each) => words(each));
  return (
    <Section title={words("settingsUsage")} note={report?.data.length ? words("settingsUsageNote") : undefined}>
      {report?.data.length === 0 && <p className="muted">{words("settingsNoUsage")}</p>}
      {report && report.data.length > 0 && (
        <Table label={words("settingsUsage")} head={head}>
          {report.data.map((row) => <Row key={row.model_id ?? ""} name={row.model_id ?? words("settingsNoModel")} sums={row} />)}
          <Row name={words("settingsTotal")} sums={report.total} />
        </Table>
      )}
    </Section>
  );
}

function Row({ name, sums }: { name: string; sums: Sums }) {
  const words = useWords();
  const { calls, prompt_tokens: prompt, completion_tokens: completion, cost_usd: cost, unpriced } = sums;
  return (
    <tr>
      <th scope="row" className="settings-name">{name}</th>
      {[calls, prompt, completion].map((each, at) => <td key={at} className="number">{each.toLocaleString(spoken())}</td>)}
      <td className="number">{unpriced === calls ? <span className="muted">{words("settingsUnpriced")}</span> : dollars(cost, spoken())}</td>
    </tr>
  );
}
