// What scrolls sideways can be reached by keys.
for (const region of document.querySelectorAll("pre, .table-wrapper")) {
  if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
}
