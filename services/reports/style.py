"""The style of this service's own pages. Its hash is in their Content-Security-Policy: no other style counts."""

import base64
import hashlib

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #51606f; --paper: #fff; --back: #f3f5f8; --line: #dde3e9;
  --link: #0b57c2; --good: #0f6638; --good-back: #e4f5ea; --poor: #a3211a; --poor-back: #fdeae8;
  --fair: #7a4800; --fair-back: #fdf1d9; --blue: #3d7be0; --pale: #86adee; --red: #c8382f; --gap: #e6eaef;
  --amber: #d99a2b; --fine: #3d9a63; }
@media screen and (prefers-color-scheme: dark) { :root {
  --ink: #e7ebef; --soft: #a6b2be; --paper: #161c23; --back: #0e1318;
  --line: #2b353f; --link: #8ab8ff; --good: #7ddba2; --good-back: #12301f; --poor: #ff9b92; --poor-back: #3a1816;
  --fair: #f0b85a; --fair-back: #33270f; --blue: #5b93ea; --pale: #2f5690; --red: #f0766c; --gap: #232b34;
  --amber: #c08a2d; --fine: #4fae78; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--back); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 112rem; margin: 0 auto; padding: 1.75rem 1rem 3rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -0.02em; }
h2 { font-size: 1rem; line-height: 1.35; margin: 0; }
p { margin: 0 0 .8rem; }
a { color: var(--link); } :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.note { color: var(--soft); font-size: .9rem; } .empty { color: var(--soft); margin-top: .8rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.tiles > div { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem;
  min-width: 0; }
.tiles dt { color: var(--soft); font-size: .875rem; } .tiles dd { margin: 0; }
.tiles dd:not(.note) { font-size: 1.35rem; line-height: 1.4; font-weight: 650; font-variant-numeric: tabular-nums; }
time { white-space: nowrap; }
.tiles .state { display: inline-block; white-space: normal; border-radius: .7rem; }
.charts { display: grid; grid-template-columns: minmax(0, 1fr); gap: .75rem; margin: 1rem 0 1.5rem; }
@media (min-width: 60rem) { .charts { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .charts .wide:has(.plot) { grid-column: 1 / -1; }
  /* So that a day has the same place in all wide charts. */
  .wide .scale { width: 9rem; flex: none; } }
.wide .plot:not(.rows) { height: 11rem; }
.charts section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem;
  min-width: 0; }
.charts p { margin: 0; max-width: none; }
.latest b { color: var(--ink); font-size: 1.5rem; font-weight: 650; letter-spacing: -0.01em; }
.latest { color: var(--soft); font-size: .9rem; font-variant-numeric: tabular-nums; }
.plot { display: flex; height: 8rem; margin: .5rem 0 .3rem; } .plot svg { display: block; width: 100%; }
.plot .chart { flex: 1; min-width: 0; height: 100%; overflow: visible; }
.scale { display: flex; flex-direction: column; justify-content: space-between; height: 85%; min-width: 2.6rem;
  padding: .35rem .4rem .35rem 0; color: var(--soft); font-size: 12px; line-height: 1; text-align: right;
  font-variant-numeric: tabular-nums; }
.plot.rows { height: auto; }
.names { flex: none; width: 9rem; padding-right: .6rem; color: var(--soft); font-size: .8rem; }
.names span { display: block; height: 1.875em; line-height: 1.875em; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .on { fill: var(--ink); }
svg path { fill: none; vector-effect: non-scaling-stroke; stroke-linecap: round; stroke-linejoin: round; }
path.line { stroke: var(--blue); stroke-width: 2px; }
path.interval { stroke: var(--pale); stroke-width: 6px; stroke-linecap: butt; }
path.interval.small { stroke-width: 2px; }
path.mark { stroke: var(--soft); stroke-width: 1px; stroke-linecap: butt; }
path.limit { stroke: var(--soft); stroke-width: 1px; stroke-dasharray: 4 4; stroke-linecap: butt; }
path.dot { stroke: var(--blue); stroke-width: 5px; } path.crossed { stroke: var(--red); stroke-width: 9px; }
path.shadow { stroke: var(--fine); stroke-width: 4px; stroke-linecap: butt; }
path.none { stroke: var(--soft); stroke-width: 2px; stroke-linecap: butt; } path.dot.small { stroke-width: 2px; }
path.crossed.small { stroke-width: 7px; }
path.estimate { stroke: var(--amber); stroke-width: 7px; } path.estimate.small { stroke-width: 5px; }
.gap { fill: var(--gap); } .bar { fill: var(--blue); }
svg .cell { fill: var(--cell); } i[class*="drift"], i[class*="state"] { background: var(--cell); }
.drift0, .state0 { --cell: var(--soft); } .drift1 { --cell: var(--pale); } .state1 { --cell: var(--fine); }
.drift2, .state2, .state4 { --cell: var(--amber); } .state5 { --cell: var(--pale); }
.drift3, .state3 { --cell: var(--red); }
.legend .drift1, .legend .state1, .legend .state5 { height: .3rem; vertical-align: .15rem; }
.legend .drift2, .legend .state2, .legend .state4 { height: .55rem; vertical-align: .05rem; }
.hit { fill: transparent; } a:hover .hit { fill: var(--link); fill-opacity: .18; }
.legend { display: flex; flex-wrap: wrap; gap: 0 .9rem; line-height: 1.4; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; vertical-align: -.1rem; }
.legend .blue { background: var(--blue); } .legend .red { background: var(--red); }
.legend .estimate { background: var(--amber); border-radius: 50%; }
.legend .grey { background: var(--gap); } .legend .pale { background: var(--pale); }
.legend .dash { height: .15rem; vertical-align: .25rem; background: var(--soft); }
.legend .shadow { height: .3rem; vertical-align: .15rem; background: var(--fine); }
.legend .upright { width: 1px; background: var(--soft); }
.legend .thin { height: .2rem; vertical-align: .2rem; background: var(--soft); }
details { margin: 0 0 .75rem; } summary { cursor: pointer; padding: .3rem 0; } summary b { margin-right: .5rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .4rem .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(44rem, 100%), 1fr)); }
li { display: grid; grid-template-columns: 6.5rem 1fr auto; gap: 0 .8rem; align-items: baseline;
  background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: .5rem 1rem; }
li.missing { display: block; background: none; border-style: dashed; color: var(--soft); font-size: .9rem; }
li .note { font-size: .85rem; }
li a { font-weight: 600; font-variant-numeric: tabular-nums; }
.days { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 0 0 1rem; }
.state { border-radius: 1rem; padding: 0 .65rem; font-size: .875rem; white-space: nowrap; }
.good { color: var(--good); background: var(--good-back); }
.fair { color: var(--fair); background: var(--fair-back); } .bad { color: var(--poor); background: var(--poor-back); }
@media (max-width: 30rem) { main { padding: 1rem .7rem 2rem; } .charts section { padding: .7rem; }
  .names { width: 6rem; padding-right: .3rem; } .tiles { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .tiles > div { padding: .6rem .7rem; } .tiles dd:not(.note) { font-size: 1.15rem; }
  li { grid-template-columns: 1fr auto; padding: .5rem .8rem; } li .note { grid-row: 2; grid-column: 1 / -1; } }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
