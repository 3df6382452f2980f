// The accordion's live half. It asks Gradio what the controls hold and reads the page's own fields, asks the extension what
// to say of them while the user types, moves the gaps' switches, and asks for the plot after a run. What there is to read
// and to show, the panel's facts say (lib_w2sd/page/accordion.py): no gap and no setting is named here.

var w2sdPage = Object.assign(window.w2sdPage ?? {}, (() => {
    const TABS = ["txt2img", "img2img"];
    const ESTIMATE = "./w2sd/v1/estimate";
    const PAUSE = 250;  // ms after the last key
    const PATIENCE = 10000;  // ms for an answer
    const newState = () => ({
        opened: new Set(), closing: {}, listed: false, log: "", job: "", asked: "", answer: null, values: null,
        had: null, was: "", chosen: "", chosenAt: 0, named: "", sure: {}, switching: "", on: false, turn: 0,
    });
    const state = Object.fromEntries(TABS.map((tab) => [tab, newState()]));

    const find = (selector) => gradioApp().querySelector(selector);
    const element = (tab, name) => find(`#w2sd_${tab}_${name}`);
    const panelOf = (tab) => find(`#w2sd_${tab}_panel .w2sd-panel`);
    const write = (node, html) => {
        if (node && node.innerHTML !== html) node.innerHTML = html;
    };
    const escaped = (words) => {
        const node = document.createElement("span");
        node.textContent = words;
        return node.innerHTML;
    };
    const give = (node, name, value) => {
        if (node && node.getAttribute(name) !== value) node.setAttribute(name, value);
    };

    // A field of the page by its kind; null where this page has none. Values, never words: a page may be translated.
    const readers = {
        number: (node) => {
            const box = node?.querySelector("input[type=number]");
            return box && box.value !== "" ? Number(box.value) : null;
        },
        text: (node) => node?.querySelector("textarea, input")?.value ?? null,
        choice: (node) => node?.querySelector("input:checked")?.value ?? node?.querySelector("input")?.value ?? null,
        checkbox: (node) => node?.querySelector("input[type=checkbox]")?.checked ?? null,
        checked: (node) => node?.checked ?? null,
    };

    function read([kind, where]) {
        if (kind === "option") return typeof opts === "undefined" ? null : opts[where] ?? null;
        if (kind === "any") {
            const boxes = [...gradioApp().querySelectorAll(where)];
            return boxes.length ? boxes.some((box) => box.checked) : null;
        }
        return readers[kind](find(where));
    }

    const isOn = (tab) => Boolean(find(`#w2sd_${tab}-visible-checkbox`)?.checked);
    const isOpen = (tab) => Boolean(find(`#w2sd_${tab} > .label-wrap`)?.classList.contains("open"));

    function factsOf(tab) {
        const own = state[tab];
        if (!own.facts) {
            const panel = panelOf(tab);
            own.facts = panel ? JSON.parse(panel.dataset.facts) : null;
        }
        return own.facts;
    }

    const valuesOf = (fields) => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, read(field)]));
    const presetBox = (tab) => element(tab, "preset")?.querySelector("input, textarea");
    const presetOf = (tab) => presetBox(tab)?.value.trim() ?? "";
    const stepsBox = (tab) => find(factsOf(tab)?.page.steps[1] ?? "#none")?.querySelector("input[type=number]");
    const stepsOf = (tab) => read(factsOf(tab).page.steps) ?? 20;

    function requestOf(tab) {
        const own = state[tab], facts = factsOf(tab);
        return {
            settings: own.values,
            page: valuesOf(facts.page),
            on: isOn(tab),
            preset: presetOf(tab),
            was: own.was,
            had_steps: own.had?.steps ?? null,
            opened: facts.gaps.map((gap) => gap.name).filter((name) => own.opened.has(name)),
        };
    }

    // ------------------------------------------------------------------ asking

    function refresh(tab) {
        if (!factsOf(tab)) return;
        w2sdPage.furnish(tab);
        const own = state[tab], on = isOn(tab);
        if (own.on !== on) w2sdPage[on ? "halveAgain" : "giveStepsBack"](tab);
        own.on = on;
        if (!isOpen(tab)) return;
        if (!own.listed) {
            // Presets saved since the WebUI was started: its page is made once.
            own.listed = true;
            element(tab, "presets").click();
        }
        element(tab, "read").click();  // Gradio calls `taken`
    }

    function taken(tab, values) {
        const names = factsOf(tab).controls;
        state[tab].values = Object.fromEntries(names.map((name, i) => [name, values[i] ?? null]));
        ask(tab);
        return [];
    }

    async function ask(tab) {
        const own = state[tab], body = JSON.stringify(requestOf(tab));
        if (body === own.asked) return w2sdPage.show(tab);
        own.asked = body;
        const turn = ++own.turn;
        try {
            const signal = AbortSignal.timeout?.(PATIENCE);
            const headers = {"Content-Type": "application/json"};
            const answer = await fetch(ESTIMATE, {method: "POST", headers, body, signal});
            if (!answer.ok) throw new Error(answer.status);
            const told = await answer.json();
            // One that a later question has overtaken says nothing any more.
            if (turn === own.turn) own.answer = told;
        } catch (error) {
            if (turn === own.turn) {
                own.asked = "";  // asked again at the next change
                w2sdPage.showNoAnswer(tab);
            }
            return;
        }
        w2sdPage.show(tab);
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
        w2sdPage.show(tab);
        if (!on || gap.gives) {
            own.switching = `${name} ${on ? "on" : "off"}`;
            element(tab, "switch").click();
        }
    }

    const switched = (tab) => [state[tab].switching];

    // ------------------------------------------------------------------ events

    // The id that the page gives its own job is the only thing that tells it from others' (another tab, the API).
    function noteJobs() {
        const theirs = window.requestProgress;
        if (typeof theirs !== "function") return;
        window.requestProgress = function(id, container, gallery, atEnd, ...rest) {
            const tab = TABS.find((name) => container?.id?.startsWith(`${name}_`));
            if (!tab) return theirs.call(this, id, container, gallery, atEnd, ...rest);
            state[tab].job = id;
            const ended = (...args) => {
                tellOfRun(tab);
                return atEnd?.(...args);
            };
            return theirs.call(this, id, container, gallery, ended, ...rest);
        };
    }

    const lastJob = (tab) => [state[tab].job];

    function tellOfRun(tab) {
        if (isOn(tab) || element(tab, "run")?.textContent.trim()) element(tab, "plot")?.click();
    }

    // The host writes the time taken, or what was wrong, below the gallery: then a job has ended, too. Alone it does not
    // tell: two jobs may take the same time.
    function afterRun(tab) {
        const log = find(`#html_log_${tab}`)?.innerText.trim() ?? "", own = state[tab];
        if (log && log !== own.log) tellOfRun(tab);
        own.log = log;
    }

    let waiting = null;
    function refreshSoon() {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
            TABS.forEach(refresh);
            w2sdPage.clearGridNotes();
        }, PAUSE);
    }

    function start() {
        noteJobs();
        for (const name of ["input", "change", "click"]) {
            gradioApp().addEventListener(name, (event) => {
                const gap = name === "change" && event.target.dataset?.gap;
                // Ours, which nobody has pressed.
                if (event.target.closest?.(".w2sd-hidden")) return;
                // Pasted settings say themselves what differs.
                if (name === "click" && event.target.closest("#paste, #img2img_paste")) {
                    TABS.forEach((tab) => {
                        state[tab].opened.clear();
                        state[tab].was = "";
                    });
                }
                // What is being changed by hand stays in sight, whatever its value.
                const section = name === "input" && event.target.closest('[id^="w2sd_"].w2sd-section');
                if (section) {
                    const [, tab, of] = section.id.match(/^w2sd_([a-z0-9]+)_section_(.+)$/);
                    state[tab].opened.add(of);
                    if (event.isTrusted) state[tab].chosenAt = 0;  // by hand: what was chosen has been filled in
                }
                if (name === "input") w2sdPage.forgetSteps(event);
                if (gap) switchGap(TABS.find((tab) => event.target.id.startsWith(`w2sd_${tab}_`)), gap, event.target.checked);
                refreshSoon();
            }, true);
        }
        onAfterUiUpdate(() => {
            TABS.forEach(afterRun);
            refreshSoon();
        });
    }

    return {
        PATIENCE, element, escaped, factsOf, find, give, isOn, lastJob, panelOf, presetBox, presetOf, read, readers,
        refreshSoon, start, state, stepsBox, stepsOf, switched, taken, write,
    };
})());

onUiLoaded(w2sdPage.start);
