// What the accordion's panel shows, and the words that Gradio has no place for; see w2sd.js.

var w2sdPage = Object.assign(window.w2sdPage ?? {}, (() => {
    const {element, escaped, factsOf, find, give, isOn, panelOf, readers, stepsOf, state, write} = w2sdPage;

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
            section?.classList.toggle("w2sd-hidden", !shown);
            box.parentNode.classList.toggle("w2sd-hidden", !shown && !offered);
        }
        for (const name of facts.controls) {
            element(tab, name)?.classList.toggle("w2sd-hidden", answer.hidden.includes(name));
        }
        const panel = panelOf(tab);
        panel.classList.toggle("w2sd-off", !isOn(tab));
        write(panel.querySelector(".w2sd-preset"), escaped(answer.preset.said));
        write(panel.querySelector(".w2sd-start"), escaped(answer.start));
        write(panel.querySelector(".w2sd-cost"), escaped(answer.cost));
        give(panel.querySelector(".w2sd-cost"), "title", answer.rows);
        write(panel.querySelector(".w2sd-warnings"), answer.warnings.map((words) => `<li>${escaped(words)}</li>`).join(""));
        w2sdPage.namePreset(tab);
    }

    function showNoAnswer(tab) {
        const panel = panelOf(tab);
        state[tab].answer = null;
        panel.classList.add("w2sd-off");
        for (const part of ["preset", "start", "warnings"]) write(panel.querySelector(`.w2sd-${part}`), "");
        write(panel.querySelector(".w2sd-cost"), "The WebUI does not answer: what this takes is not known.");
    }

    // Words that Gradio has no place for: of the mouse, of the buttons that are pictures, of each choice.
    function furnish(tab) {
        const facts = factsOf(tab);
        for (const [name, words] of Object.entries(facts.titles)) give(element(tab, name), "title", words);
        for (const [name, words] of Object.entries(facts.buttons)) {
            give(element(tab, name), "title", words);
            give(element(tab, name), "aria-label", words);
        }
        for (const [name, each] of Object.entries(facts.each)) {
            for (const box of element(tab, name)?.querySelectorAll("input[type=radio]") ?? []) {
                const label = box.closest("label");
                if (!(box.value in each) || label.querySelector(".w2sd-each")) continue;
                label.classList.add("w2sd-choice");
                label.insertAdjacentHTML("beforeend", `<span class="w2sd-each">${escaped(each[box.value])}</span>`);
            }
        }
        for (const name of ["preset_chosen", "preset_about", "run"]) give(element(tab, name), "aria-live", "polite");
        for (const head of [`#w2sd_${tab} > .label-wrap`, `#w2sd_${tab}_experts > .label-wrap`]) byKeyboard(find(head));
    }

    // Gradio 3.41's accordions open for the mouse alone.
    function byKeyboard(head) {
        if (!head || head.tagName === "BUTTON") return;
        give(head, "aria-expanded", String(head.classList.contains("open")));
        if (head.tabIndex === 0) return;
        head.tabIndex = 0;
        head.setAttribute("role", "button");
        head.addEventListener("keydown", (event) => {
            if (event.target !== head || !["Enter", " "].includes(event.key)) return;
            event.preventDefault();
            head.click();
        });
    }

    // ------------------------------------------------------------------ the ready grid

    // The host's script is far below: say there what is left to do, and go there. Gone with the script.
    function grid(tab) {
        setTimeout(() => {
            const list = find(`#${tab}_script_container #script_list`);
            if (!list) return;
            if (!list.parentNode.querySelector(".w2sd-filled")) {
                list.insertAdjacentHTML("afterend", '<p class="w2sd-filled" role="status"></p>');
            }
            const told = list.parentNode.querySelector(".w2sd-filled");
            delete told.dataset.there;
            told.dataset.since = Date.now();
            told.textContent =
                "The grid is filled in below. Press Generate to draw it; choose None under Script to be rid of it.";
            goTo(told);
        }, 600);
        return [];
    }
    const goTo = (told) => told.scrollIntoView({behavior: "smooth", block: "center"});

    // Waits for the boxes of both axes, and goes on without them after a while.
    async function axesAre(tab, part) {
        const pause = (ms) => new Promise((done) => setTimeout(done, ms)), until = Date.now() + 5000;
        const there = () => ["x", "y"].every((axis) => find(`#script_${tab}_xyz_plot_${axis}_${part}`)?.offsetParent);
        while (!there() && Date.now() < until) await pause(100);
        await pause(200);  // shown is not yet ready
        // On a busy machine the way there is cut short by what appears on it meanwhile.
        const told = find(`#${tab}_script_container .w2sd-filled`);
        if (told) goTo(told);
        return stepsOf(tab);
    }
    const axesShown = (tab) => axesAre(tab, "type"), valuesShown = (tab) => axesAre(tab, "values");

    function clearGridNotes() {
        for (const told of gradioApp().querySelectorAll(".w2sd-filled")) {
            // Chosen by our button, or not yet.
            const there = readers.text(told.parentNode.querySelector("#script_list")) === factsOf("txt2img")?.script;
            if (there) told.dataset.there = "yes";
            else if (told.dataset.there || Date.now() - told.dataset.since > 5000) told.remove();
            else setTimeout(clearGridNotes, 5000);
        }
    }

    // ------------------------------------------------------------------ the study

    function studyCost(tab, [pairs, presets, beside]) {
        const ways = 2 + (presets?.length ?? 0) + (beside?.length ?? 0);
        const told = element(tab, "study_cost").querySelector("[data-words]"), given = {pairs, ways, pictures: pairs * ways};
        const filled = told.cloneNode();
        filled.textContent = told.dataset.words.replace(/{(\w+)}/g, (_, name) => given[name]);
        return [filled.outerHTML];
    }

    return {axesShown, clearGridNotes, furnish, grid, show, showNoAnswer, studyCost, valuesShown};
})());
