import { table } from "../i18n/table";

export const words = table({
  wrap: ["Wrap lines", "Bryt rader", "Переносить строки"],
  image: ["Image", "Bild", "Картинка"],
  loadImage: ["Open from {host}", "Öppna från {host}", "Открыть с {host}"],
  mathFailed: ["This formula can't be shown", "Formeln kan inte visas", "Формулу не удалось показать"],
  note: ["Note {label}", "Fotnot {label}", "Сноска {label}"],
  diagram: ["Diagram", "Diagram", "Диаграмма"],
  showDiagram: ["Show diagram", "Visa diagram", "Показать диаграмму"],
  showSource: ["Show source", "Visa källkod", "Показать исходник"],
  diagramFailed: ["Can't be drawn", "Kan inte ritas", "Не удалось нарисовать"],
  openImage: ["Enlarge {name}", "Förstora {name}", "Увеличить {name}"],
  saveFile: ["Save", "Spara", "Сохранить"],
});
