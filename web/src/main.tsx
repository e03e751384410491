import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./tokens.css";
import "./base.css";
import { App } from "./shell/App";
import { fetchCatalog } from "./state/catalog";
import { watchTextSize } from "./state/preferences";
import { sessions } from "./state/sessions";
import { watchTheme } from "./state/theme";

watchTheme();
watchTextSize();
sessions.start();
void fetchCatalog();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
