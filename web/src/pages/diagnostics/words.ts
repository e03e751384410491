import { table } from "../../i18n/table";

export const words = table({
  diagnostics: ["Diagnostics", "Diagnostik", "Диагностика"],
});
