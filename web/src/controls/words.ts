import { table } from "../i18n/table";

export const words = table({
  save: ["Send again", "Skicka igen", "Отправить заново"],
  copy: ["Copy", "Kopiera", "Копировать"],
  copied: ["Copied", "Kopierat", "Скопировано"],
  pickerSearch: ["Search", "Sök", "Найти"],
});
