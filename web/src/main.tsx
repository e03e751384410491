import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./components/App";
import { legato } from "./state/legato";
import { watchTheme } from "./theme";
import "./tokens.css";
import "./page.css";

watchTheme();
legato.start();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
