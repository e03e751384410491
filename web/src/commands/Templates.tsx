import { useState } from "react";
import { templates, toInsert, type Template } from "../composer/templates";
import { Dialog } from "../controls/Dialog";
import { useRowsFocus } from "../controls/useRowsFocus";
import { useWords } from "../i18n";
import { useStore } from "../state/store";
import { write } from "./navigation";
import "./commands.css";

/** The prompts that a person keeps: used, added, changed, deleted. */
export function Templates({ onClose }: { onClose: () => void }) {
  const words = useWords();
  const kept = useStore(templates);
  const rows = useRowsFocus();
  const [edited, setEdited] = useState<Template | null>(null);
  const use = (template: Template) => {
    onClose();
    write();
    toInsert.put(template.text);
  };
  const save = (template: Template) => {
    const isKnown = kept.some(({ id }) => id === template.id);
    templates.put(isKnown ? kept.map((each) => (each.id === template.id ? template : each)) : [...kept, template]);
    setEdited(null);
  };
  if (edited) return <Dialog title={words("templatesTitle")} isHeld onClose={onClose}><TemplateForm template={edited} onSave={save} onCancel={() => setEdited(null)} /></Dialog>;
  return (
    <Dialog title={words("templatesTitle")} onClose={onClose}>
      <p className="muted">{words("templatesBody", { braces: "{…}" })}</p>
      <ul {...rows} className="templates">
        {kept.map((template) => (
          <li key={template.id}>
            <span className="template-name" dir="auto">{template.name}</span>
            <button type="button" className="quiet" onClick={() => use(template)}>{words("useTemplate")}</button>
            <button type="button" className="quiet" onClick={() => setEdited(template)}>{words("edit")}</button>
            <button type="button" className="quiet" onClick={() => templates.put(kept.filter(({ id }) => id !== template.id))}>{words("delete")}</button>
            <span className="template-text" dir="auto">{template.text}</span>
          </li>
        ))}
      </ul>
      {kept.length === 0 && <p className="hint">{words("noTemplates")}</p>}
      <div className="buttons">
        <button type="button" onClick={onClose}>{words("close")}</button>
        <button type="button" className="primary" onClick={() => setEdited({ id: `tpl_${String(Date.now())}`, name: "", text: "" })}>{words("addTemplate")}</button>
      </div>
    </Dialog>
  );
}

function TemplateForm({ template, onSave, onCancel }: { template: Template; onSave: (template: Template) => void; onCancel: () => void }) {
  const words = useWords();
  const [name, setName] = useState(template.name);
  const [text, setText] = useState(template.text);
  const isWhole = name.trim() !== "" && text.trim() !== "";
  return (
    <form onSubmit={(event) => { event.preventDefault(); if (isWhole) onSave({ ...template, name: name.trim(), text: text.trim() }); }}>
      <label className="labelled">{words("templateName")}<input className="field" autoFocus value={name} maxLength={60} onChange={(event) => setName(event.target.value)} /></label>
      <label className="labelled">{words("templateText")}<textarea className="field" rows={6} value={text} dir="auto" onChange={(event) => setText(event.target.value)} /></label>
      <div className="buttons">
        <button type="button" onClick={onCancel}>{words("cancel")}</button>
        <button type="submit" className="primary" disabled={!isWhole}>{words("saveTemplate")}</button>
      </div>
    </form>
  );
}
