"""The page of --enable_ui: `pages` serves the plain HTML, CSS and JavaScript in assets/."""
