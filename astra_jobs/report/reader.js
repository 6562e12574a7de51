(function () {
  "use strict";
  var reader = document.getElementById("reader");
  if (!reader) return;
  var items = Array.prototype.slice.call(reader.querySelectorAll("details.transcript"));
  var at = 0;
  var bar = document.createElement("div");
  var back = button("← Previous", -1);
  var on = button("Next →", 1);
  var where = document.createElement("span");
  bar.className = "reader-bar";
  where.setAttribute("aria-live", "polite");
  bar.append(back, where, on);
  reader.before(bar);
  reader.classList.add("paged");

  function button(words, by) {
    var made = document.createElement("button");
    made.type = "button";
    made.textContent = words;
    made.addEventListener("click", function () { show(at + by); });
    return made;
  }

  function show(place) {
    at = Math.max(0, Math.min(items.length - 1, place));
    items.forEach(function (item, index) {
      item.classList.toggle("shown", index === at);
      item.open = index === at;
    });
    back.disabled = at === 0;
    on.disabled = at === items.length - 1;
    where.textContent = "Transcript " + (at + 1) + " of " + items.length;
  }

  bar.addEventListener("keydown", function (event) {
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  window.addEventListener("beforeprint", function () {
    items.forEach(function (item) { item.open = true; });
  });
  show(0);
})();
