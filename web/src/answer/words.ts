import { table } from "../i18n/table";

export const words = table({
  wrap: ["Wrap lines", "Bryt rader", "Переносить строки"],
  image: ["Image from {host}", "Bild från {host}", "Картинка с {host}"],
  loadImage: ["Load it", "Hämta den", "Загрузить"],
  mathFailed: ["This formula can't be shown", "Formeln kan inte visas", "Формулу не удалось показать"],
});
