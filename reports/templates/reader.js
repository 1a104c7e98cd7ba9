"use strict";
// Everything shown is set as text: what models and judges wrote is data, never markup.
(() => {
  const PAGE = 20, KEPT = 8;

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

  const percent = (score) => (score === null ? "–" : `${Math.round(100 * score)}%`);
  const signed = (value) => (value === null ? "–" : (value > 0 ? "+" : "") + value.toFixed(2).replace("-", "−"));

  // What a reader shows: three lines in its list, and the entry that is read. Each is given the reader's words.
  const readers = {
    duels: ({ words, say, languages }) => {
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

      return {
        line: (row) => [`${row.language} · ${row.name} · ${row.category}`, `${row.variant} × ${row.against}`,
          `${row.outcome} ${percent(row.number)}`],
        read: (row, duel, texts) => {
          const names = [row.variant, row.against], language = languages[row.places.language];
          const jurors = Math.max(...duel.games.map((one) => one[1]));
          const turns = Math.max(duel.asked.length, duel.ours.length, duel.theirs.length,
            ...duel.games.map((one) => one[0]));
          const parts = [element("h3", {}, `${row.name} · ${row.language} · ${row.category}`),
            element("p", { class: "note" }, `${names[0]} × ${names[1]} · ${row.judge} · `
              + `${row.outcome} ${percent(row.number)} · ${row.titles.wrong}: ${row.wrong}`)];
          for (let turn = 1; turn <= turns; turn++) {
            parts.push(element("h4", {}, say("turn", { number: turn })));
            if (duel.asked[turn - 1] !== undefined)
              parts.push(element("blockquote", { lang: language, dir: "auto" }, texts(duel.asked[turn - 1])));
            const answers = [duel.ours, duel.theirs]
              .map((of) => (of[turn - 1] === undefined ? undefined : texts(of[turn - 1])));
            parts.push(element("div", { class: "sides" }, ...answers.map((text, i) => side(names[i], text, language))));
            parts.push(element("div", { class: "sides" },
              ...duel.games.filter((one) => one[0] === turn).map((one) => game(one, texts, names, jurors))));
          }
          return parts;
        },
      };
    },

    flips: ({ words, say }) => ({
      line: (row) => [`${row.language} · ${row.name}`, row.variant, `${row.direction} ${signed(row.number)}`],
      read: (row, [id, choices, gold, was, now, marginWas, marginNow]) => {
        const choice = (place) => (place === null ? words.unknown : say("choice", { number: place + 1, choices }));
        const facts = [["gold", choice(gold)], ["was", choice(was)], ["now", choice(now)],
          ["margin_was", signed(marginWas)], ["margin_now", signed(marginNow)], ["change", signed(row.number)], ["id", id]];
        return [element("h3", {}, `${row.name} · ${row.language} · ${row.task}`),
          element("p", { class: "note" }, `${row.variant} · ${row.direction}`),
          element("dl", {}, ...facts.flatMap(([key, said]) =>
            [element("dt", {}, words[key]), element("dd", {}, said)]))];
      },
    }),
  };

  const start = async (root) => {
    const name = root.dataset.reader;
    const { chunk, filters, languages, rows, words } = await unpack(`${name}-index`);
    const say = (key, values) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const { line, read: told } = readers[name]({ words, say, languages });
    const titles = Object.fromEntries(filters.map((filter) => [filter.name, filter.title]));
    const rowAt = (at) => {
      const places = Object.fromEntries(filters.map((filter, i) => [filter.name, rows[at][i]]));
      const values = Object.fromEntries(filters.map((filter, i) => [filter.name, filter.values[rows[at][i]]]));
      return { ...values, places, titles, name: rows[at][filters.length], number: rows[at][filters.length + 1] };
    };
    const kept = new Map();
    const entryAt = async (at) => {
      const number = Math.floor(at / chunk);
      if (!kept.has(number)) {
        kept.set(number, unpack(`${name}-${number}`));
        if (kept.size > KEPT) kept.delete(kept.keys().next().value);
      }
      const { texts, entries } = await kept.get(number);
      return [entries[at % chunk], (i) => texts[i]];
    };

    let found = rows.map((_, i) => i), page = 0, open = -1;
    const count = element("p", { class: "note", role: "status" });
    const list = element("ol", { class: "duel-list" });
    const shown = element("article", { class: "duel", "aria-live": "polite", tabindex: "-1" });
    const back = element("button", { type: "button" }, words.previous);
    const forth = element("button", { type: "button" }, words.next);
    const selects = [];

    const turnPage = (to, focus) => {
      page = Math.max(0, Math.min(to, Math.ceil(found.length / PAGE) - 1));
      const from = page * PAGE;
      list.start = from + 1;
      list.replaceChildren(...found.slice(from, from + PAGE).map((at) => {
        const [what, who, how] = line(rowAt(at));
        const button = element("button", { type: "button", "data-at": at, "aria-pressed": at === open },
          element("span", { class: "what" }, what),
          element("span", { class: "who" }, who),
          element("span", { class: "how" }, how));
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

    const read = async (at) => {
      open = at;
      for (const button of list.querySelectorAll("button"))
        button.setAttribute("aria-pressed", Number(button.dataset.at) === at);
      const [entry, texts] = await entryAt(at);
      if (open === at) shown.replaceChildren(...told(rowAt(at), entry, texts));
    };

    const form = element("form", { class: "filters", "aria-label": words.filters });
    filters.forEach((filter, at) => {
      if (filter.values.length < 2) return;
      const select = element("select", { id: `${name}-by-${filter.name}` }, element("option", { value: "" }, words.all),
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
  };

  for (const root of document.querySelectorAll("[data-reader]"))
    start(root).catch(() => {
      const failed = root.querySelector(".failed");
      if (failed) failed.hidden = false;
    });
})();
