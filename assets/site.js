// Everything here only makes pages nicer: without it each of them does its work.
"use strict";
(() => {
  const zh = document.documentElement.lang.startsWith("zh");
  const t = (chinese, english) => (zh ? chinese : english);
  document.documentElement.classList.add("js");

  // Copy buttons.
  const copyIcon = '<svg class="icon" viewBox="0 0 24 24" width="14" height="14" fill="none" stroke="currentColor" stroke-width="1.75" aria-hidden="true"><rect x="8.5" y="8.5" width="11" height="11" rx="2"/><path d="M15.5 8.5v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/></svg>';
  // Over plain HTTP browsers have no clipboard for scripts, only the old command.
  const copy = async (text) => {
    if (navigator.clipboard) { await navigator.clipboard.writeText(text); return true; }
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  };
  const addCopyButtons = (root) => {
    // Code of authors is copied like commands of ours.
    for (const code of root.querySelectorAll(".prose > pre, .script > pre.code, .file > pre.code")) {
      const box = document.createElement("div");
      box.className = "copy";
      code.before(box);
      box.append(code);
    }
    for (const box of root.querySelectorAll(".copy")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy-button";
      button.innerHTML = copyIcon;
      const label = document.createElement("span");
      label.className = "hidden";
      label.setAttribute("role", "status");
      button.append(label);
      const say = (text) => { label.textContent = text; button.title = text; };
      say(t("复制", "Copy"));
      button.addEventListener("click", async () => {
        if (!await copy((box.querySelector("code") ?? box.querySelector("pre")).textContent)) return;
        button.classList.add("done");
        say(t("已复制", "Copied"));
        setTimeout(() => { button.classList.remove("done"); say(t("复制", "Copy")); }, 2000);
      });
      box.append(button);
    }
  };

  // Suggestions while somebody types.
  const addSuggestions = (input) => {
    const form = input.form;
    const list = document.createElement("ul");
    list.className = "suggestions";
    list.id = input.id + "-suggestions";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", t("搜索建议", "Suggestions"));
    list.hidden = true;
    form.append(list);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", list.id);
    input.setAttribute("aria-expanded", "false");
    let chosen = -1, timer, latest = 0;
    const show = (texts) => {
      list.replaceChildren(...texts.map((text, i) => {
        const item = document.createElement("li");
        item.id = list.id + i;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.textContent = text;
        item.addEventListener("mousedown", (event) => { event.preventDefault(); input.value = text; form.requestSubmit(); });
        return item;
      }));
      chosen = -1;
      list.hidden = texts.length === 0;
      input.setAttribute("aria-expanded", String(!list.hidden));
      input.removeAttribute("aria-activedescendant");
    };
    const choose = (index) => {
      const items = [...list.children];
      chosen = (index + items.length) % items.length;
      items.forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
      input.setAttribute("aria-activedescendant", items[chosen].id);
    };
    input.addEventListener("input", (event) => {
      clearTimeout(timer);
      if (event.isComposing) return;
      const words = input.value.trim();
      if (!words) { show([]); return; }
      timer = setTimeout(async () => {
        const mine = ++latest;
        try {
          const answer = await fetch("/api/v1/search/suggestions?limit=8&q=" + encodeURIComponent(words));
          if (answer.ok && mine === latest) show((await answer.json()).data.suggestions);
        } catch { /* Suggestions are a help, not a need. */ }
      }, 120);
    });
    input.addEventListener("keydown", (event) => {
      // While an input method composes, its keys are its own.
      if (list.hidden || event.isComposing) return;
      if (event.key === "ArrowDown") { choose(chosen + 1); event.preventDefault(); }
      else if (event.key === "ArrowUp") { choose(chosen - 1); event.preventDefault(); }
      else if (event.key === "Escape") { show([]); }
      else if (event.key === "Enter" && chosen >= 0) { input.value = list.children[chosen].textContent; }
    });
    input.addEventListener("compositionend", () => input.dispatchEvent(new Event("input")));
    input.addEventListener("blur", () => { latest++; show([]); });
  };

  // Uploading with progress, by choosing or dropping a file.
  const addUpload = (form) => {
    const input = form.querySelector("input[type=file]");
    const drop = form.querySelector("[data-drop]");
    const progress = form.querySelector("progress");
    const button = form.querySelector("button");
    const send = () => {
      const request = new XMLHttpRequest();
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "text/html");
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) progress.value = 100 * event.loaded / event.total;
      });
      request.addEventListener("load", () => {
        const page = new DOMParser().parseFromString(request.responseText, "text/html");
        const main = page.querySelector("main");
        if (!main) { form.submit(); return; }
        document.querySelector("main").replaceWith(main);
        document.title = page.title;
        begin(main);
        main.focus();
        scrollTo(0, 0);
      });
      request.addEventListener("error", () => {
        progress.hidden = true;
        button.disabled = false;
        form.querySelector(".hint").textContent = t("上传中断，请检查网络后重试。", "The upload was cut off; check the network and try again.");
      });
      progress.hidden = false;
      button.disabled = true;
      request.send(new FormData(form));
    };
    form.addEventListener("submit", (event) => { event.preventDefault(); if (input.files.length) send(); });
    input.addEventListener("change", () => { if (input.files.length) form.requestSubmit(); });
    for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) { input.files = event.dataTransfer.files; form.requestSubmit(); }
    });
  };

  const begin = (root) => {
    addCopyButtons(root);
    root.querySelectorAll("[data-upload]").forEach(addUpload);
    root.querySelectorAll("[data-auto] select").forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));
  };
  begin(document);
  document.querySelectorAll("[data-suggest]").forEach(addSuggestions);

  // On a small screen the filters are folded until somebody asks for them.
  if (matchMedia("(min-width: 52.01rem)").matches) document.querySelectorAll(".filters").forEach((box) => { box.open = true; });
  // Empty fields of a filter make addresses long and say nothing.
  document.querySelectorAll(".filter-form").forEach((form) => form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  }));
  // The menu closes when somebody looks elsewhere.
  document.querySelectorAll(".menu").forEach((menu) => {
    document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
    menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); } });
  });
  // "/" goes to the search box, as on other sites of this kind.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    const find = document.getElementById("find");
    if (find) { event.preventDefault(); find.focus(); }
  });
})();
