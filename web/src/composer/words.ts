import { table } from "../i18n/table";

export const words = table({
  ask: ["Write a message", "Skriv ett meddelande", "Напишите сообщение"],
  send: ["Send", "Skicka", "Отправить"],
  stop: ["Stop", "Stoppa", "Стоп"],
  stopping: ["Stopping…", "Stoppar…", "Останавливаю…"],
  queueIt: ["Queue it", "Ställ i kö", "В очередь"],
  interrupt: ["Interrupt", "Avbryt svaret", "Прервать"],
  steer: ["Steer", "Styr", "Направить"],
  whileRunning: ["While an answer is running", "Medan ett svar pågår", "Пока идёт ответ"],
});
