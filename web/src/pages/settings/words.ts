import { table } from "../../i18n/table";

export const words = table({
  settings: ["Settings", "Inställningar", "Настройки"],
});
