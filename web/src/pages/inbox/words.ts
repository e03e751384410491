import { table } from "../../i18n/table";

export const words = table({
  inbox: ["Waiting for you", "Väntar på dig", "Ждут вас"],
});
