import { table } from "./table";

export const words = table({
  newChat: ["New chat", "Ny chatt", "Новый чат"],
  search: ["Search chats", "Sök bland chattar", "Поиск по чатам"],
  untitled: ["Untitled chat", "Namnlös chatt", "Чат без названия"],
  menu: ["Open the list of chats", "Öppna listan med chattar", "Открыть список чатов"],
  cancel: ["Cancel", "Avbryt", "Отмена"],
  running: ["An answer is running", "Ett svar pågår", "Идёт ответ"],
  closed: ["This chat is closed. It can be read, not continued.", "Chatten är stängd. Den kan läsas men inte fortsättas.", "Чат закрыт. Его можно читать, но не продолжать."],
  edit: ["Edit", "Ändra", "Изменить"],
  auto: ["System", "Systemets", "Как в системе"],
});
