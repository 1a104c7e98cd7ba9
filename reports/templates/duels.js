"use strict";
// Everything shown is set as text: what models and judges wrote is data, never markup.
(async () => {
  const PAGE = 20, KEPT = 8;
  const root = document.getElementById("duel-reader");

  const unpack = async (id) => {
    const packed = atob(document.getElementById(id).textContent.trim());
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const { chunk, filters, languages, rows, words } = await unpack("duels-index");
  const say = (key, values) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const place = Object.fromEntries(filters.map((filter, i) => [filter.name, i]));
  const QUESTION = filters.length, SCORE = QUESTION + 1;
  const value = (row, name) => filters[place[name]].values[row[place[name]]];
  const kept = new Map();
  const textsOf = async (at) => {
    const number = Math.floor(at / chunk);
    if (!kept.has(number)) {
      kept.set(number, unpack(`duels-${number}`));
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    }
    const { texts, duels } = await kept.get(number);
    return [duels[at % chunk], (i) => texts[i]];
  };

  let found = rows.map((_, i) => i), page = 0, open = -1;
  const count = element("p", { class: "note", role: "status" });
  const list = element("ol", { class: "duel-list" });
  const shown = element("article", { class: "duel", "aria-live": "polite", tabindex: "-1" });
  const back = element("button", { type: "button" }, words.previous);
  const forth = element("button", { type: "button" }, words.next);
  const selects = [];

  const percent = (score) => (score === null ? "–" : `${Math.round(100 * score)}%`);

  const turnPage = (to, focus) => {
    page = Math.max(0, Math.min(to, Math.ceil(found.length / PAGE) - 1));
    const from = page * PAGE;
    list.start = from + 1;
    list.replaceChildren(...found.slice(from, from + PAGE).map((at) => {
      const row = rows[at];
      const button = element("button", { type: "button", "data-at": at, "aria-pressed": at === open },
        element("span", { class: "what" }, `${value(row, "language")} · ${row[QUESTION]} · ${value(row, "category")}`),
        element("span", { class: "who" }, `${value(row, "variant")} × ${value(row, "against")}`),
        element("span", { class: "how" }, `${value(row, "outcome")} ${percent(row[SCORE])}`));
      button.addEventListener("click", async () => {
        await read(at);
        if (matchMedia("(max-width: 48rem)").matches) shown.scrollIntoView(); // it stands below the list there
      });
      return element("li", {}, button);
    }));
    count.textContent = found.length
      ? say("count", { from: from + 1, to: Math.min(from + PAGE, found.length), count: found.length, all: rows.length })
      : words.nothing;
    back.disabled = page === 0;
    forth.disabled = from + PAGE >= found.length;
    if (focus !== undefined) list.children[focus < 0 ? list.children.length - 1 : focus]?.firstChild.focus();
  };

  const choose = () => {
    found = rows.map((_, i) => i).filter((i) => selects.every(([at, select]) =>
      select.value === "" || rows[i][at] === Number(select.value)));
    turnPage(0);
    if (found.length) read(found[0]);
    else shown.replaceChildren();
  };

  const side = (title, text, language) => element("div", { class: "side" },
    element("h5", {}, title),
    text === undefined
      ? element("p", { class: "note" }, words.no_answer)
      : element("div", { class: "answer", lang: language, dir: "auto", tabindex: "0" }, text || words.empty));

  const game = ([turn, juror, order, verdict, told], texts, names, jurors) => {
    const outcome = verdict === null ? words.no_verdict : verdict === 0.5 ? words.tie
      : say("won", { who: names[verdict === 1 ? 0 : 1] });
    const first = say(order === 1 ? "first" : "second", { who: names[0] });
    const heading = jurors > 1 ? `${say("juror", { number: juror })} · ${first}` : first;
    return element("div", { class: "game" },
      element("h5", {}, `${heading}: `, element("strong", {}, outcome)),
      element("div", { class: "reason", dir: "auto" }, texts(told) || words.no_words));
  };

  const read = async (at) => {
    open = at;
    for (const button of list.querySelectorAll("button"))
      button.setAttribute("aria-pressed", Number(button.dataset.at) === at);
    const row = rows[at];
    const [duel, texts] = await textsOf(at);
    if (open !== at) return;
    const names = [value(row, "variant"), value(row, "against")], language = languages[row[place.language]];
    const jurors = Math.max(...duel.games.map((one) => one[1]));
    const turns = Math.max(duel.asked.length, duel.ours.length, duel.theirs.length, ...duel.games.map((one) => one[0]));
    const parts = [element("h3", {}, `${row[QUESTION]} · ${value(row, "language")} · ${value(row, "category")}`),
      element("p", { class: "note" }, `${names[0]} × ${names[1]} · ${value(row, "judge")} · `
        + `${value(row, "outcome")} ${percent(row[SCORE])} · ${filters[place.wrong].title}: ${value(row, "wrong")}`)];
    for (let turn = 1; turn <= turns; turn++) {
      parts.push(element("h4", {}, say("turn", { number: turn })));
      if (duel.asked[turn - 1] !== undefined)
        parts.push(element("blockquote", { lang: language, dir: "auto" }, texts(duel.asked[turn - 1])));
      const answers = [duel.ours, duel.theirs].map((of) => (of[turn - 1] === undefined ? undefined : texts(of[turn - 1])));
      parts.push(element("div", { class: "sides" }, ...answers.map((text, i) => side(names[i], text, language))));
      parts.push(element("div", { class: "sides" },
        ...duel.games.filter((one) => one[0] === turn).map((one) => game(one, texts, names, jurors))));
    }
    shown.replaceChildren(...parts);
  };

  const form = element("form", { class: "filters", "aria-label": words.filters });
  filters.forEach((filter, at) => {
    if (filter.values.length < 2) return;
    const select = element("select", { id: `duel-${filter.name}` }, element("option", { value: "" }, words.all),
      ...filter.values.map((name, i) => element("option", { value: i }, name)));
    select.addEventListener("change", choose);
    selects.push([at, select]);
    form.append(element("label", { for: select.id }, `${filter.title} `, select));
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  back.addEventListener("click", () => turnPage(page - 1));
  forth.addEventListener("click", () => turnPage(page + 1));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...list.children], at = items.findIndex((item) => item.contains(document.activeElement)) + step;
    if (at >= 0 && at < items.length) items[at].firstChild.focus();
    else if (at < 0 ? page > 0 : !forth.disabled) turnPage(page + step, at < 0 ? -1 : 0);
    if (document.activeElement.dataset.at) read(Number(document.activeElement.dataset.at));
  });
  root.replaceChildren(form, count, element("div", { class: "reader" },
    element("div", {}, list, element("p", { class: "pages" }, back, " ", forth)), shown));
  choose();
})().catch(() => {
  const failed = document.querySelector("#duel-reader .failed");
  if (failed) failed.hidden = false;
});
