// Light or dark as it was chosen here last, before anything is painted; without a choice the system's counts.
"use strict";
{
  const KEY = "tandem-theme";
  const NAMES = ["system", "light", "dark"];
  const root = document.documentElement;

  const recall = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden
    }
  };

  const apply = (name) => {
    root.dataset.theme = NAMES.includes(name) ? name : "system";
  };

  apply(recall());

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = `Theme: ${root.dataset.theme}`;
    };
    label();
    button.addEventListener("click", () => {
      apply(NAMES[(NAMES.indexOf(root.dataset.theme) + 1) % NAMES.length]);
      label();
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // it counts until the page is left
      }
    });
  });
}
