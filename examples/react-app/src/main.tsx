import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { KeybearerProvider } from "keybearer/react";
import { App } from "./app.js";
import { keybearer } from "./client.js";
import "./styles.css";

const root = document.getElementById("root");
if (!root) throw new Error("The page has no element with the id root.");
createRoot(root).render(
  <StrictMode>
    <KeybearerProvider client={keybearer}>
      <App />
    </KeybearerProvider>
  </StrictMode>,
);
