import { table } from "../../i18n/table";

export const words = table({
  inbox: ["Waiting for you", "Väntar på dig", "Ждут вас"],
  nothingWaits: ["Nothing waits for you", "Inget väntar på dig", "Ничто не ждёт вас"],
  nothingWaitsBody: ["When an agent asks before it does something, its question comes here.", "När en agent frågar innan den gör något kommer frågan hit.", "Когда агент спросит разрешения, вопрос появится здесь."],
  waitsFor: ["waits {time} more", "väntar {time} till", "подождёт ещё {time}"],
  waitsNoLonger: ["hardly waits any longer", "väntar knappt längre", "почти не ждёт"],
  wantsTool: ["wants to use", "vill använda", "хочет использовать"],
  youAllowed: ["Allowed: {question}", "Tillåtet: {question}", "Разрешено: {question}"],
  youAllowedAlways: ["Allowed, from now on always: {question}", "Tillåtet, från och med nu alltid: {question}", "Разрешено, отныне всегда: {question}"],
  youDenied: ["Denied: {question}", "Nekat: {question}", "Отказано: {question}"],
  allowedElsewhere: ["This was already allowed: {question}", "Det var redan tillåtet: {question}", "Это уже было разрешено: {question}"],
  deniedElsewhere: ["This was already denied: {question}", "Det var redan nekat: {question}", "В этом уже было отказано: {question}"],
  askedNoMore: ["This is not asked any more: {question}", "Det frågas inte längre: {question}", "Об этом больше не спрашивают: {question}"],
  allowedAlways: ["Always allowed", "Alltid tillåtet", "Разрешено всегда"],
  askAgain: ["Ask me again", "Fråga mig igen", "Спрашивать снова"],
  askAgainFor: ["Ask me again before {tool}", "Fråga mig igen före {tool}", "Спрашивать снова перед {tool}"],
});
