// Copies the reading under the pointer or finger below its chart.
for (const figure of document.querySelectorAll("figure")) {
  const output = figure.querySelector("output");
  if (!output) continue;
  figure.addEventListener("pointermove", (event) => {
    const target = document.elementFromPoint(event.clientX, event.clientY);
    const title = target && target.classList.contains("hit") && target.querySelector("title");
    if (title) output.textContent = title.textContent;
  });
}
