// The box of presets, and the page's steps that one of them halves; see w2sd.js.

var w2sdPage = Object.assign(window.w2sdPage ?? {}, (() => {
    const AGAIN = 10000;  // ms in which a second press means yes
    const {
        PATIENCE, element, factsOf, find, isOn, presetBox, presetOf, refreshSoon, state, stepsBox, stepsOf,
    } = w2sdPage;

    // A preset is chosen: the steps that go to the server with its name. One that halves them halves the page's own
    // first, once, however often it is chosen; any other gives back what it found.
    function presetChosen(tab, [name]) {
        const own = state[tab], preset = factsOf(tab).presets[name];
        own.opened.clear();
        if (!(Date.now() - own.sure.at < 1000)) saysLast(tab, "chosen");  // Gradio may tell of the name after the press
        own.was = name ?? "";
        inForce(tab, own.was);
        if (preset?.opens) own.opened.add(preset.opens);
        if (preset?.needs) setTimeout(() => focusOn(preset.needs, Date.now() + PATIENCE), 500);
        if (preset?.halves_steps && isOn(tab)) halveSteps(tab);
        else giveStepsBack(tab);
        return [name, stepsOf(tab)];
    }

    // A name is written and the disk pressed at once, and either answer may be the later one: what is shown is that of
    // what was done last.
    function saysLast(tab, what) {
        const row = element(tab, "preset_about")?.parentElement;
        if (row) row.dataset.w2sdSays = what;
    }

    // An answer on its way is about before: for a while it names no other preset.
    function inForce(tab, name) {
        Object.assign(state[tab], {chosen: name, chosenAt: Date.now()});
        setTimeout(refreshSoon, PATIENCE / 2);
    }

    // Once it is shown: the server says when.
    function focusOn(where, until) {
        const box = find(where)?.querySelector("textarea, input");
        if (box?.offsetParent) box.focus();
        else if (Date.now() < until) setTimeout(() => focusOn(where, until), 200);
    }

    function setSteps(tab, steps) {
        const box = stepsBox(tab);
        box.value = String(steps);
        updateInput(box);
    }

    function halveSteps(tab) {
        const own = state[tab], steps = stepsOf(tab);
        if (own.had && own.had.half === steps) return;
        own.had = {steps, half: Math.max(Math.floor(steps / 2), 1)};
        setSteps(tab, own.had.half);
    }

    // W2SD is on again, and the preset that halves is still named.
    function halveAgain(tab) {
        if (factsOf(tab).presets[presetOf(tab)]?.halves_steps) halveSteps(tab);
    }

    // Steps that are others by now are what the user wants.
    function giveStepsBack(tab) {
        const own = state[tab], had = own.had;
        own.had = null;
        if (had && stepsOf(tab) === had.half) setSteps(tab, had.steps);
    }

    function forgetSteps(event) {
        for (const tab of Object.keys(state)) {
            const where = factsOf(tab)?.page.steps[1];
            if (event.isTrusted && where && event.target.closest(where)) state[tab].had = null;
        }
    }

    // The box names the preset that the settings are, and no other; a name that is being written, or about to be
    // overwritten or deleted, is left alone.
    function namePreset(tab) {
        const own = state[tab], {name, keep} = own.answer.preset;
        // What has been chosen is about to be filled in: an answer may be about the settings before it.
        const filling = name !== own.chosen && Date.now() - own.chosenAt < PATIENCE / 2;
        if (name && !filling) own.was = name;
        const box = presetBox(tab);
        // A button was pressed: until the server has answered, then as long as it asks whether that is meant.
        const since = Date.now() - own.sure.at, asks = element(tab, "preset_about")?.querySelector(".w2sd-asks");
        const pressed = since < (asks?.offsetParent ? AGAIN : PATIENCE / 2);
        if (!box || keep || filling || pressed || box === document.activeElement || presetOf(tab) === name) return;
        Object.assign(own, {named: name, renamed: presetOf(tab)});
        element(tab, "preset_named").click();
    }

    // Gradio comes for it a while later: a name may be being written by then, or has been.
    function presetNamed(tab) {
        const {named, renamed} = state[tab], box = presetBox(tab);
        if (box === document.activeElement || presetOf(tab) !== renamed) return [presetOf(tab)];
        for (let ms = 100; ms <= 1500; ms *= 2) setTimeout(() => listAll(tab, named), ms);
        return [named];
    }

    // Gradio takes what it writes into an open list for what is looked for there, and shows no other name.
    function listAll(tab, named) {
        const box = presetBox(tab), list = element(tab, "preset").querySelectorAll("ul.options li");
        if (box !== document.activeElement || box.value !== named || list.length !== 1) return;
        box.blur();
        box.focus();
    }

    // Whether the same button was pressed before, with the same name.
    function pressedAgain(tab, what, name) {
        const own = state[tab], before = own.sure;
        saysLast(tab, "about");
        own.sure = {what, name, at: Date.now()};
        const again = before.what === what && before.name === name && Date.now() - before.at < AGAIN;
        if (again) own.sure = {};
        return again;
    }

    function presetSaved(tab, [, , ...kept]) {
        const name = presetOf(tab);
        inForce(tab, name);
        return [name, pressedAgain(tab, "save", name), ...kept];
    }

    const presetDeleted = (tab) => [presetOf(tab), pressedAgain(tab, "delete", presetOf(tab))];

    return {forgetSteps, giveStepsBack, halveAgain, namePreset, presetChosen, presetDeleted, presetNamed, presetSaved};
})());
