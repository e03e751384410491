export const LANGUAGES = ["en", "sv", "ru"] as const;
export type Language = (typeof LANGUAGES)[number];
export type Values = Readonly<Record<string, string | number>>;

const FORMS = ["one", "few", "many"];

/** The word as it is said of these values; numbers are written as the language does. */
export function fill(word: string, language: Language, values: Values = {}): string {
  return formOf(word, language, values["n"]).replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? "";
    return typeof value === "number" ? value.toLocaleString(language) : value;
  });
}

function formOf(word: string, language: Language, n: string | number | undefined): string {
  const forms = word.split("|");
  if (forms.length === 1) return word;
  const at = FORMS.indexOf(new Intl.PluralRules(language).select(Number(n)));
  return forms[at < 0 ? forms.length - 1 : Math.min(at, forms.length - 1)] ?? word;
}
