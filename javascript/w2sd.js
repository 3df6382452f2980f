// The accordion's live half. It reads the page's own fields, asks the extension what to say of them while the user types,
// moves the gaps' switches, and asks for the plot after a run. What there is to read and to show, the panel's facts say
// (lib_w2sd/page/accordion.py): no gap and no setting is named here.

const w2sdPage = (() => {
    const TABS = ["txt2img", "img2img"];
    const ESTIMATE = "./w2sd/v1/estimate";
    const newState = () => ({opened: new Set(), closing: {}, listed: false, log: "", asked: "", answer: null, had: null, turn: 0});
    const state = Object.fromEntries(TABS.map((tab) => [tab, newState()]));

    const find = (selector) => gradioApp().querySelector(selector);
    const element = (tab, name) => find(`#w2sd_${tab}_${name}`);
    const write = (node, html) => {
        if (node && node.innerHTML !== html) node.innerHTML = html;
    };
    const escaped = (words) => {
        const node = document.createElement("span");
        node.textContent = words;
        return node.innerHTML;
    };

    // A field's value by its kind; null where this page has no such field. Values, never words: a page may be translated.
    const readers = {
        number: (node) => {
            const box = node?.querySelector("input[type=number]");
            return box && box.value !== "" ? Number(box.value) : null;
        },
        text: (node) => node?.querySelector("textarea, input")?.value ?? null,
        choice: (node) => node?.querySelector("input:checked")?.value ?? node?.querySelector("input")?.value ?? null,
        // Gradio's boxes have no value of their own: they stand in the order of `values`.
        several: (node, values) => {
            const boxes = node ? [...node.querySelectorAll("input[type=checkbox]")] : null;
            return boxes && values.filter((_, i) => boxes[i]?.checked);
        },
        checkbox: (node) => node?.querySelector("input[type=checkbox]")?.checked ?? null,
        checked: (node) => node?.checked ?? null,
    };
    const read = ([kind, where, values]) => kind === "option" ?
        (typeof opts === "undefined" ? null : opts[where] ?? null) : readers[kind](find(where), values);

    const isOn = (tab) => Boolean(find(`#w2sd_${tab}-visible-checkbox`)?.checked);
    const isOpen = (tab) => Boolean(find(`#w2sd_${tab} > .label-wrap`)?.classList.contains("open"));

    function factsOf(tab) {
        const own = state[tab];
        if (!own.facts) {
            const panel = find(`#w2sd_${tab}_panel .w2sd-panel`);
            own.facts = panel ? JSON.parse(panel.dataset.facts) : null;
        }
        return own.facts;
    }

    const valuesOf = (fields) => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, read(field)]));
    const presetOf = (tab) => readers.text(element(tab, "preset")) ?? "";

    function requestOf(tab) {
        const facts = factsOf(tab);
        return {
            settings: valuesOf(facts.controls),
            page: valuesOf(facts.page),
            preset: presetOf(tab),
            had_steps: state[tab].had,
        };
    }

    // ------------------------------------------------------------------ what is shown

    function show(tab) {
        const own = state[tab], answer = own.answer, facts = factsOf(tab), now = Date.now();
        if (!answer || !facts) return;
        for (const gap of facts.gaps) {
            const {active, offered} = answer.gaps[gap.name];
            const section = element(tab, `section_${gap.name}`), box = element(tab, `gap_${gap.name}`);
            // What the server is about to put back is already off.
            const closing = own.closing[gap.name] > now && active;
            if (!closing) delete own.closing[gap.name];
            const shown = own.opened.has(gap.name) || (active && !closing);
            if (box.checked !== shown) box.checked = shown;
            section.classList.toggle("w2sd-hidden", !shown);
            box.parentNode.classList.toggle("w2sd-hidden", !shown && !offered);
        }
        for (const name of Object.keys(facts.controls)) {
            element(tab, name)?.classList.toggle("w2sd-hidden", answer.hidden.includes(name));
        }
        const panel = find(`#w2sd_${tab}_panel`);
        write(panel.querySelector(".w2sd-cost"), escaped(answer.cost));
        write(panel.querySelector(".w2sd-warnings"), answer.warnings.map((words) => `<li>${escaped(words)}</li>`).join(""));
    }

    async function refresh(tab) {
        if (!isOpen(tab) || !factsOf(tab)) return;
        const own = state[tab];
        if (!own.listed) {
            // Presets saved since the WebUI was started: its page is made once.
            own.listed = true;
            element(tab, "presets").click();
        }
        const body = JSON.stringify(requestOf(tab));
        if (body !== own.asked) {
            own.asked = body;
            const turn = ++own.turn;
            try {
                const answer = await fetch(ESTIMATE, {method: "POST", headers: {"Content-Type": "application/json"}, body});
                if (!answer.ok) throw new Error(answer.status);
                const told = await answer.json();
                // One that a later question has overtaken says nothing any more.
                if (turn === own.turn) own.answer = told;
            } catch (error) {
                if (turn === own.turn) own.asked = "";  // asked again at the next change
                return;
            }
        }
        show(tab);
    }

    // ------------------------------------------------------------------ the gaps' switches

    function switchGap(tab, name, on) {
        const own = state[tab], gap = factsOf(tab).gaps.find((one) => one.name === name);
        if (on) {
            own.opened.add(name);
            delete own.closing[name];
        } else {
            own.opened.delete(name);
            own.closing[name] = Date.now() + 5000;
        }
        show(tab);
        if (!on || gap.gives) {
            api.asked = `${name} ${on ? "on" : "off"}`;
            element(tab, "switch").click();
        }
    }

    // ------------------------------------------------------------------ presets

    // The steps that go to the server with a preset's name; a preset that halves them halves the page's own first.
    function stepsFor(name) {
        const tab = currentTab(), own = state[tab], facts = factsOf(tab);
        const preset = facts.presets[name], steps = read(facts.page.steps) ?? 20;
        own.opened.clear();
        own.had = null;
        if (!preset) return steps;
        if (preset.opens) own.opened.add(preset.opens);
        if (preset.needs) {
            setTimeout(() => find(preset.needs)?.querySelector("textarea, input")?.focus(), 500);
        }
        if (!preset.halves_steps) return steps;
        own.had = steps;
        const box = find(facts.page.steps[1]).querySelector("input[type=number]");
        box.value = String(Math.max(Math.floor(steps / 2), 1));
        updateInput(box);
        return Number(box.value);
    }

    // Steps set by hand are what the user wants now: nothing is remembered of those before.
    function forgetSteps(event) {
        for (const tab of TABS) {
            const where = factsOf(tab)?.page.steps[1];
            if (event.isTrusted && where && event.target.closest(where)) state[tab].had = null;
        }
    }

    function currentTab() {
        const img2img = find("#tab_img2img");
        return img2img && img2img.style.display !== "none" && img2img.offsetParent !== null ? "img2img" : "txt2img";
    }

    // ------------------------------------------------------------------ the ready grid

    // The host's script is far below: say what is left to do once it is filled, and go there (not to the middle of all
    // scripts, which an open accordion makes higher than the window).
    function grid() {
        const tab = currentTab();
        setTimeout(() => {
            const script = find(`#${tab}_script_container`);
            if (!script) return;
            if (!script.querySelector(".w2sd-filled")) {
                script.insertAdjacentHTML("afterbegin", '<p class="w2sd-filled" role="status"></p>');
            }
            const told = script.querySelector(".w2sd-filled");
            told.textContent =
                "The grid is filled in below. Press Generate to draw it; choose None under Script to be rid of it.";
            told.scrollIntoView({behavior: "smooth", block: "center"});
        }, 600);
        return read(factsOf(tab).page.steps) ?? 20;
    }

    // ------------------------------------------------------------------ events

    // The host writes the time taken below the gallery: that is when a run has ended.
    function afterRun(tab) {
        const log = find(`#html_log_${tab}`)?.innerText.trim() ?? "", own = state[tab];
        if (log && log !== own.log && isOn(tab)) element(tab, "plot")?.click();
        own.log = log;
    }

    let waiting = null;
    function refreshSoon() {
        clearTimeout(waiting);
        waiting = setTimeout(() => TABS.forEach(refresh), 30);
    }

    function start() {
        for (const name of ["input", "change", "click"]) {
            gradioApp().addEventListener(name, (event) => {
                const gap = name === "change" && event.target.dataset?.gap;
                // Pasted settings say themselves what differs.
                if (name === "click" && event.target.closest("#paste, #img2img_paste")) TABS.forEach((tab) => state[tab].opened.clear());
                // What is being changed by hand stays in sight, whatever its value.
                const section = name === "input" && event.target.closest('[id^="w2sd_"].w2sd-section');
                if (section) {
                    const [, tab, of] = section.id.match(/^w2sd_([a-z0-9]+)_section_(.+)$/);
                    state[tab].opened.add(of);
                }
                if (name === "input") forgetSteps(event);
                if (gap) switchGap(TABS.find((tab) => event.target.id.startsWith(`w2sd_${tab}_`)), gap, event.target.checked);
                refreshSoon();
            }, true);
        }
        onAfterUiUpdate(() => TABS.forEach((tab) => {
            refresh(tab);
            afterRun(tab);
        }));
    }

    const api = {asked: "", grid, stepsFor, refreshSoon, start};
    return api;
})();

onUiLoaded(w2sdPage.start);
