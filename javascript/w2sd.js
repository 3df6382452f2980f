// The accordion's live half: cost and warnings while the user types, the gaps' switches, the plot after a run. It reads
// the page's own fields and asks the server for nothing until a switch is moved, a run ends or the accordion is opened.

const w2sdPage = (() => {
    const TABS = ["txt2img", "img2img"];
    const SAME_TIME = "Same time as before";
    const state = Object.fromEntries(TABS.map((tab) => [tab, {opened: new Set(), closing: {}, listed: false, log: ""}]));

    const find = (selector) => gradioApp().querySelector(selector);
    const element = (tab, name) => find(`#w2sd_${tab}_${name}`);
    const number = (selector) => {
        const box = find(`${selector} input[type=number]`);
        return box && box.value !== "" ? Number(box.value) : null;
    };
    const text = (selector) => {
        const box = find(`${selector} textarea, ${selector} input`);
        return box ? box.value : "";
    };
    const write = (node, html) => {
        if (node && node.innerHTML !== html) node.innerHTML = html;
    };
    const escaped = (words) => {
        const node = document.createElement("span");
        node.textContent = words;
        return node.innerHTML;
    };

    const isOn = (tab) => {
        const box = find(`#w2sd_${tab}-visible-checkbox`);
        return Boolean(box && box.checked);
    };
    const isOpen = (tab) => {
        const label = find(`#w2sd_${tab} > .label-wrap`);
        return Boolean(label && label.classList.contains("open"));
    };

    function factsOf(tab) {
        const own = state[tab];
        if (!own.facts) {
            const panel = find(`#w2sd_${tab}_panel .w2sd-panel`);
            own.facts = panel ? JSON.parse(panel.dataset.facts) : null;
        }
        return own.facts;
    }

    const readers = {
        number: (where) => number(where) ?? 0,
        text,
        dropdown: text,
        checkbox: (where) => Boolean(find(`${where} input[type=checkbox]`)?.checked),
        radio: (where) => find(`${where} input:checked`)?.value ?? "",
    };

    function settingsOf(tab) {
        const settings = {enabled: isOn(tab)};
        for (const [name, kind] of Object.entries(factsOf(tab).controls)) {
            settings[name] = readers[kind](`#w2sd_${tab}_${name}`);
        }
        return settings;
    }

    const stepsOf = (tab) => number(`#${tab}_steps`) ?? 20;
    const samplerOf = (tab) => find(`#${tab}_sampling input:checked`)?.value ?? text(`#${tab}_sampling`);

    function hiresOf(tab, facts, sampler) {
        if (tab !== "txt2img" || !find("#txt2img_hr-visible-checkbox")?.checked) return null;
        const width = number("#txt2img_width") || 512, height = number("#txt2img_height") || 512;
        const x = number("#txt2img_hr_resize_x") || 0, y = number("#txt2img_hr_resize_y") || 0;
        const scale = number("#txt2img_hr_scale") || 2;
        const area = x && y ? (x * y) / (width * height) : x ? (x / width) ** 2 : y ? (y / height) ** 2 : scale ** 2;
        const own = text("#hr_sampler");
        const kind = facts.kinds[own] ? own : sampler;
        // A1111 has no such field: there the hires pass has the picture's own scale.
        const cfg = number("#txt2img_hr_cfg") ?? number("#txt2img_cfg_scale") ?? 7;
        return {kind: facts.kinds[kind] || "one", steps: number("#txt2img_hires_steps") || 0, cfg, area};
    }

    function requestOf(tab, settings) {
        const facts = factsOf(tab), sampler = samplerOf(tab);
        return {
            settings,
            kind: facts.kinds[sampler] || "one",
            steps: stepsOf(tab),
            cfg: number(`#${tab}_cfg_scale`) ?? 7,
            pictures: (number(`#${tab}_batch_count`) || 1) * (number(`#${tab}_batch_size`) || 1),
            denoising: tab === "img2img" ? number("#img2img_denoising_strength") ?? 0.75 : null,
            exactly: typeof opts !== "undefined" && Boolean(opts.img2img_fix_steps),
            hires: hiresOf(tab, facts, sampler),
            loras: w2sdCost.tagsOf(text(`#${tab}_prompt`)).length > 0,
            skips_uncond: facts.skips_uncond,
        };
    }

    // Forge's choice of what its page is for.
    const isFlux = () => ["flux", "all"].includes(find("#forge_ui_preset input:checked")?.value);

    function pageOf(tab, request) {
        const distilled = find(`#${tab}_distilled_cfg_scale`);
        return {
            cfg: request.cfg,
            steps: request.steps,
            loras: request.loras,
            sampler: samplerOf(tab),
            footnotes: factsOf(tab).footnotes,
            // The checkpoint's list of A1111, then of Forge.
            checkpoint: find("#setting_sd_model_checkpoint input, .model_selection input")?.value ?? "",
            distilled_cfg: distilled ? number(`#${tab}_distilled_cfg_scale`) : null,
            flux: isFlux(),
        };
    }

    // ------------------------------------------------------------------ the gaps' switches

    function gapsShown(tab, settings, request) {
        const gaps = w2sdCost.gapsOf(settings, true);
        return {
            guidance: w2sdCost.strongCfg(settings, request.cfg) !== settings.weak_cfg,
            prompt: gaps.prompt || gaps.negative,
            loras: gaps.loras || settings.weak_lora_text_encoder,
            checkpoint: gaps.checkpoint || settings.weak_checkpoint_loras,
            distilled: w2sdCost.orNull(settings.weak_distilled_cfg) !== null ||
                w2sdCost.orNull(settings.strong_distilled_cfg) !== null,
        };
    }

    function showGaps(tab, settings, request) {
        const own = state[tab], active = gapsShown(tab, settings, request), now = Date.now();
        for (const gap of factsOf(tab).gaps) {
            const section = element(tab, `section_${gap}`), box = element(tab, `gap_${gap}`);
            // What the server is about to put back is already off.
            const closing = own.closing[gap] > now && active[gap];
            if (!closing) delete own.closing[gap];
            const shown = own.opened.has(gap) || (active[gap] && !closing);
            if (box.checked !== shown) box.checked = shown;
            section.classList.toggle("w2sd-hidden", !shown);
            if (gap === "distilled") box.parentNode.classList.toggle("w2sd-hidden", !shown && !isFlux());
        }
        element(tab, "hires_lambda_steps")?.classList.toggle("w2sd-hidden", settings.hires !== "own");
    }

    function switchGap(tab, gap, on) {
        const own = state[tab];
        const asks = !on || ["guidance", "loras", "distilled"].includes(gap);
        if (on) {
            own.opened.add(gap);
            delete own.closing[gap];
        } else {
            own.opened.delete(gap);
            own.closing[gap] = Date.now() + 5000;
        }
        refresh(tab);
        if (asks) {
            api.asked = `${gap} ${on ? "on" : "off"}`;
            element(tab, "switch").click();
        }
    }

    // ------------------------------------------------------------------ presets

    // The steps that go to the server with a preset's name; the preset that halves them halves the page's own first.
    function stepsFor(name) {
        const tab = currentTab(), steps = stepsOf(tab);
        state[tab].opened.clear();
        if (name === "Prompt gap") state[tab].opened.add("prompt");
        if (name === "Checkpoint gap" || name === "Cumulative") state[tab].opened.add("checkpoint");
        if (name !== SAME_TIME) return steps;
        const box = find(`#${tab}_steps input[type=number]`), half = Math.max(Math.floor(steps / 2), 1);
        box.value = String(half);
        updateInput(box);
        return half;
    }

    function currentTab() {
        const img2img = find("#tab_img2img");
        return img2img && img2img.style.display !== "none" && img2img.offsetParent !== null ? "img2img" : "txt2img";
    }

    // ------------------------------------------------------------------ what is shown

    function refresh(tab) {
        if (!isOpen(tab) || !factsOf(tab)) return;
        const own = state[tab], settings = settingsOf(tab), request = requestOf(tab, settings);
        if (!own.listed) {
            // Presets saved since the WebUI was started: its page is made once.
            own.listed = true;
            element(tab, "presets").click();
        }
        showGaps(tab, settings, request);
        // Opened is not yet on; what it would cost is what the user wants to know.
        const cost = w2sdCost.estimate({...request, settings: {...settings, enabled: true}});
        const panel = find(`#w2sd_${tab}_panel`);
        write(panel.querySelector(".w2sd-cost"), escaped(w2sdCost.words(cost)));
        const said = w2sdWarnings.warnings(settings, pageOf(tab, request), cost.steps[0], cost.reflected[0]);
        write(panel.querySelector(".w2sd-warnings"), said.map((words) => `<li>${escaped(words)}</li>`).join(""));
    }

    // The host writes the time taken below the gallery: that is when a run has ended.
    function afterRun(tab) {
        const log = find(`#html_log_${tab}`)?.innerText.trim() ?? "", own = state[tab];
        if (log && log !== own.log && isOn(tab)) element(tab, "plot")?.click();
        own.log = log;
    }

    let waiting = null;
    function refreshSoon() {
        clearTimeout(waiting);
        waiting = setTimeout(() => TABS.forEach(refresh), 60);
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
                if (gap) switchGap(TABS.find((tab) => event.target.id.startsWith(`w2sd_${tab}_`)), gap, event.target.checked);
                refreshSoon();
            }, true);
        }
        onAfterUiUpdate(() => TABS.forEach((tab) => {
            refresh(tab);
            afterRun(tab);
        }));
    }

    const api = {asked: "", steps: () => stepsOf(currentTab()), stepsFor, refreshSoon, start};
    return api;
})();

onUiLoaded(w2sdPage.start);
