"use strict";

// Tokens tell what is known of them when they are pointed at, tapped, or reached with the arrow keys; tables sort.
// Whatever comes from a text goes through textContent: nothing here makes markup of it.

const made = (name, text = "", className = "") => {
  const element = document.createElement(name);
  element.textContent = text;
  element.className = className;
  return element;
};

// A text's own words, which no browser is to put into another language.
const untranslated = (element) => {
  element.lang = "";
  element.translate = false;
  return element;
};

const describe = ([side, name, figures, expected], labels) => {
  const card = made("div");
  const heading = made("h3");
  heading.append(side, untranslated(made("bdi", name)));
  card.append(heading);
  const list = made("dl");
  figures.forEach((figure, at) => {
    if (figure) list.append(made("dt", labels[at]), made("dd", figure));
  });
  card.append(list);
  if (expected.length) {
    const likeliest = made("ol");
    for (const [other, id, probability] of expected) {
      const here = id === figures[0];
      const row = made("li", "", here ? "here" : "");
      const bar = document.createElement("meter");
      bar.value = parseFloat(probability) || 0; // "<1e-99" is no number
      bar.setAttribute("aria-hidden", "true");
      const what = made("span");
      what.append(untranslated(made("bdi", other)), here ? " (this one)" : "");
      row.append(what, made("span", id, "dim"));
      row.append(made("span", probability), bar);
      likeliest.append(row);
    }
    const names = made("li", "", "dim");
    names.append(...["expected", "id", "probability"].map((name) => made("span", name)));
    likeliest.prepend(names);
    card.append(likeliest);
  }
  return card;
};

document.querySelectorAll(".reading").forEach((reading, number) => {
  const { labels, items } = JSON.parse(reading.querySelector("script").textContent);
  const spans = [...reading.querySelectorAll(".heat > span")];
  const places = new Map(spans.map((span, at) => [span, at]));
  const panel = reading.querySelector(".told");
  const hint = [...panel.childNodes];
  let lit = -1; // the stretch that the panel tells of
  let kept = -1; // the one it goes back to: chosen by tap or key
  let stop = 0; // the one that Tab leads to

  const tell = (at) => {
    if (at === lit) return;
    spans[lit]?.classList.remove("lit");
    spans[at].classList.add("lit");
    lit = at;
    const [said, tokens] = items[at];
    panel.replaceChildren(...(said ? [made("p", said)] : []), ...tokens.map((token) => describe(token, labels)));
    panel.scrollTop = 0;
  };

  const forget = () => {
    spans[lit]?.classList.remove("lit");
    lit = kept = -1;
    panel.replaceChildren(...hint);
  };

  const reachable = (at) => {
    for (const name of ["tabindex", "role", "aria-describedby"]) spans[stop].removeAttribute(name);
    stop = at;
    spans[at].setAttribute("tabindex", "0");
    spans[at].setAttribute("role", "button");
    spans[at].setAttribute("aria-describedby", panel.id);
  };

  const choose = (at) => {
    reachable(at);
    kept = at;
    tell(at);
    spans[at].focus();
  };

  const pointed = (target) => (target.dataset.at === undefined ? places.get(target) : Number(target.dataset.at));

  panel.id = `told-${number}`;
  panel.hidden = false;
  if (spans.length) reachable(0);
  reading.addEventListener("pointerover", (event) => {
    const at = pointed(event.target);
    if (at !== undefined) tell(at);
    else if (kept >= 0 && !panel.contains(event.target)) tell(kept);
  });
  reading.addEventListener("pointerleave", () => {
    if (kept >= 0) tell(kept);
  });
  reading.addEventListener("click", (event) => {
    const at = pointed(event.target);
    if (at !== undefined) choose(at);
    else if (!panel.contains(event.target) && !event.target.closest("label")) forget();
  });
  reading.addEventListener("focusin", (event) => {
    const at = places.get(event.target);
    if (at !== undefined && at !== kept) choose(at);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") forget();
  });
  reading.addEventListener("keydown", (event) => {
    const at = places.get(event.target);
    if (at === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    const onwards = getComputedStyle(event.target.parentElement).direction === "rtl" ? -1 : 1;
    const to = {
      ArrowRight: at + onwards,
      ArrowLeft: at - onwards,
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      Home: 0,
      End: spans.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(to, 0), spans.length - 1));
  });
});

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows]; // as they came: the order among equals
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = made("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    const numbers = rows.some((row) => row.cells[column].dataset.v !== undefined);
    const key = (row) => {
      const { dataset, textContent } = row.cells[column];
      return numbers ? (dataset.v === undefined ? null : Number(dataset.v)) : textContent;
    };
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keys = new Map(rows.map((row) => [row, key(row)]));
      const order = (a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (x === null || y === null) return (x === null) - (y === null); // what has no figure comes last, always
        const difference = numbers ? x - y : x.localeCompare(y);
        return down ? -difference : difference;
      };
      body.append(...[...rows].sort(order));
    });
  });
}
