"use strict";
// Curves to point at, by mouse, finger or keyboard, and a menu of metrics. Without it the page
// shows the same curves, all of them.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_ROWS = 8;  // more lines than these, and the seeds behind a mean are not told
  const NEAR = 0.005;  // share of the way by which rounds of whole episodes may miss one another

  const whole = (value) => Math.round(value).toLocaleString("en-US");

  // As the Python side spells numbers: whole from a hundred on, below that in three digits.
  const number = (value, isShare) => {
    if (isShare) return `${Number((100 * value).toPrecision(3))} %`;
    return Math.abs(value) >= 100 ? whole(value) : String(Number(value.toPrecision(3)));
  };

  const element = (name, attributes = {}, text = "") => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };

  const drawn = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // The place of the number in an ascending list that is nearest to a value.
  const nearest = (list, value) => {
    let best = 0;
    for (let i = 1; i < list.length; i++) {
      if (Math.abs(list[i] - value) < Math.abs(list[best] - value)) best = i;
    }
    return best;
  };

  class Explorer {
    constructor(figure) {
      this.data = JSON.parse(figure.querySelector("script").textContent);
      this.plot = figure.querySelector(".plot");
      this.pointer = figure.querySelector(".pointer");
      this.swatches = figure.querySelectorAll(".legend svg");
      const named = this.data.lines.filter((line) => line.kind !== "seed");
      const told = named.length > 0 ? named : this.data.lines;
      this.stops = [...new Set(told.flatMap((line) => line.steps))].sort((a, b) => a - b);
      this.at = this.stops.length - 1;
      this.tip = element("div", { class: "tip", "aria-hidden": "true", hidden: "" });
      this.plot.append(this.tip);
      this.listen(figure.querySelector("h3").textContent);
    }

    listen(title) {
      const { plot } = this;
      const attributes = { tabindex: 0, role: "slider", "aria-label": title,
        "aria-valuemin": 0, "aria-valuemax": this.stops.length - 1, "aria-valuenow": this.at,
        "aria-valuetext": `${whole(this.stops[this.at])} steps` };
      for (const [key, value] of Object.entries(attributes)) plot.setAttribute(key, value);
      const follow = (event) => {
        const box = plot.getBoundingClientRect();
        const steps = ((event.clientX - box.left) / box.width) * this.data.last;
        this.show(nearest(this.stops, steps));
      };
      plot.addEventListener("pointermove", follow);
      plot.addEventListener("pointerdown", follow);
      plot.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse" && document.activeElement !== plot) this.hide();
      });
      plot.addEventListener("focus", () => this.show(this.at));
      plot.addEventListener("blur", () => this.hide());
      plot.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const moves = { ArrowLeft: this.at - 1, ArrowDown: this.at - 1, ArrowRight: this.at + 1,
        ArrowUp: this.at + 1, PageDown: this.at - 10, PageUp: this.at + 10, Home: 0,
        End: this.stops.length - 1 };
      if (event.key === "Escape") this.hide();
      if (!(event.key in moves)) return;
      event.preventDefault();
      this.show(Math.min(Math.max(moves[event.key], 0), this.stops.length - 1));
    }

    // What each line has nearest to a stop, as far as it reaches.
    seen(stop) {
      const { lines } = this.data;
      const found = [];
      for (const line of lines) {
        if (line.kind === "seed" && lines.length > MOST_ROWS) continue;
        const i = nearest(line.steps, stop);
        const reach = line.steps.length > 1 ? (this.data.last / line.steps.length) : 0;
        if (Math.abs(line.steps[i] - stop) > reach) continue;
        found.push({ line, i, steps: line.steps[i], value: line.values[i] });
      }
      return found;
    }

    down(value) {
      const { low, high, log } = this.data;
      const scale = log ? Math.log10 : (x) => x;
      const place = (scale(high) - scale(value)) / (scale(high) - scale(low));
      return `${100 * Math.min(Math.max(place, -1), 2)}%`;
    }

    show(at) {
      this.at = at;
      const stop = this.stops[at];
      const x = `${(100 * stop) / this.data.last}%`;
      const seen = this.seen(stop);
      const marks = seen.map(({ line, steps, value }) => drawn("circle", {
        cx: `${(100 * steps) / this.data.last}%`, cy: this.down(value),
        r: line.kind === "seed" ? 2.5 : 4.5, class: `look-${line.look}`,
      }));
      this.pointer.replaceChildren(
        drawn("line", { x1: x, x2: x, y1: "0", y2: "100%" }), ...marks);
      this.fill(stop, seen);
      this.place(stop);
    }

    fill(stop, seen) {
      const rounds = new Set(seen.map(({ line, i }) => line.rounds?.[i]));
      const [round] = rounds;
      const head = rounds.size === 1 && round !== undefined
        ? `${whole(stop)} steps, round ${whole(round)}` : `${whole(stop)} steps`;
      const table = element("table");
      for (const one of seen) table.append(this.row(stop, one));
      this.tip.replaceChildren(element("strong", {}, head), table);
      this.tip.hidden = false;
      const said = [...table.rows].map((row) =>
        [...row.cells].map((cell) => cell.textContent.trim()).join(" "));
      this.plot.setAttribute("aria-valuenow", this.at);
      this.plot.setAttribute("aria-valuetext", [head, ...said].join("; "));
    }

    row(stop, { line, i, steps, value }) {
      const row = element("tr", { class: `${line.kind} look-${line.look}` });
      const label = element("th", { scope: "row" });
      if (line.kind !== "seed") {
        const named = this.data.lines.filter((one) => one.kind !== "seed");
        label.append(this.swatches[named.indexOf(line)].cloneNode(true), " ");
      }
      const isNear = Math.abs(steps - stop) <= NEAR * this.data.last;
      label.append(isNear ? line.label : `${line.label}, at ${whole(steps)}`);
      const cell = element("td", {}, number(value, this.data.share));
      if (line.lower) {
        const ends = [line.lower[i], line.upper[i]].map((end) => number(end, this.data.share));
        cell.append(" ", element("small", {}, `${ends[0]} to ${ends[1]}`));
      }
      row.append(label, cell);
      return row;
    }

    // Beside the pointer, on the side where there is room, and never beyond the plot.
    place(stop) {
      const width = this.plot.clientWidth;
      const x = (stop / this.data.last) * width;
      const own = this.tip.offsetWidth;
      const beside = x + 14 + own <= width ? x + 14 : x - 14 - own;
      this.tip.style.left = `${Math.min(Math.max(beside, 0), width - own)}px`;
    }

    hide() {
      this.pointer.replaceChildren();
      this.tip.hidden = true;
    }
  }

  const chooseMetrics = () => {
    const details = document.querySelector(".metrics");
    if (!details) return;
    const select = details.querySelector("select");
    const choose = (id) => {
      if (![...select.options].some((option) => option.value === id)) return false;
      select.value = id;
      for (const figure of details.querySelectorAll(".chart")) {
        figure.classList.toggle("chosen", figure.id === id);
      }
      return true;
    };
    details.open = true;
    details.classList.add("one");
    details.querySelector(".menu").hidden = false;
    select.addEventListener("change", () => choose(select.value));
    const follow = (hash) => {
      if (choose(hash.slice(1))) document.getElementById(hash.slice(1)).scrollIntoView();
    };
    choose(select.value);
    follow(location.hash);
    for (const link of document.querySelectorAll("a[href^='#chart-']")) {
      link.addEventListener("click", () => follow(link.hash));
    }
  };

  for (const figure of document.querySelectorAll("figure.chart")) new Explorer(figure);
  chooseMetrics();
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
