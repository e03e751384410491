import type { Agent, Gauge as GaugeOf, Model } from "legato-client";
import { useWords } from "../i18n";
import { Gauge } from "./Gauge";

interface Props {
  title: string;
  agent: Agent | undefined;
  gauge: GaugeOf | null;
  children?: React.ReactNode;
  onMenu: () => void;
}

export function TopBar({ title, agent, gauge, children, onMenu }: Props) {
  const words = useWords();
  return (
    <header className="top">
      <button type="button" className="quiet menu-button" aria-label={words("menu")} onClick={onMenu}>☰</button>
      <h1 dir="auto">{title}</h1>
      {agent?.demo && <span className="badge">{words("demo")}</span>}
      {gauge && <Gauge gauge={gauge} />}
      {children}
    </header>
  );
}

export function describe(model: Model, words: ReturnType<typeof useWords>): string {
  const parts = [model.name];
  if (model.context_window) parts.push(words("window", { n: model.context_window.toLocaleString() }));
  if (model.cost_per_1m_input != null) parts.push(words("price", { in: model.cost_per_1m_input, out: model.cost_per_1m_output ?? 0 }));
  return parts.join(" · ");
}
