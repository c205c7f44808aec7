// A page that fell, or whose code did not arrive whole, stays blank for ever: it is asked for once more, by its address.
(() => {
  const KEY = "ivx.again", EVERY = 20_000, LOOK = 500, BLANK = 3;
  let stood = false, blank = 0;
  const again = () => {
    const now = Date.now();
    if (now - Number(sessionStorage.getItem(KEY)) < EVERY) return; // it fell again at once: that would never end
    sessionStorage.setItem(KEY, now);
    location.reload();
  };
  setInterval(() => {
    const stands = document.querySelector(".stApp") !== null;
    stood ||= stands;
    blank = stood && !stands ? blank + 1 : 0;
    if (blank === BLANK) again();
  }, LOOK);
  addEventListener("vite:preloadError", again);
})();
