import { table } from "../../i18n/table";

export const words = table({
  memory: ["Memory", "Minne", "Память"],
});
