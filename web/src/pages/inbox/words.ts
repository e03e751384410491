import { table } from "../../i18n/table";

export const words = table({
  inbox: ["Waiting for you", "Väntar på dig", "Ждут вас"],
  nothingWaits: ["Nothing waits for you", "Inget väntar på dig", "Ничто не ждёт вас"],
  nothingWaitsBody: ["When an agent asks before it does something, its question comes here.", "När en agent frågar innan den gör något kommer frågan hit.", "Когда агент спросит разрешения, вопрос появится здесь."],
  wantsTool: ["wants to use", "vill använda", "хочет использовать"],
  allowedAlways: ["Always allowed", "Alltid tillåtet", "Разрешено всегда"],
  askAgain: ["Ask me again", "Fråga mig igen", "Спрашивать снова"],
  askAgainFor: ["Ask me again before {tool}", "Fråga mig igen före {tool}", "Спрашивать снова перед {tool}"],
});
