// The page's entry: live prices above, questions below. Without it the page still answers, through plain GET forms.

import { followPrices } from "./live.js";
import { answerInPlace } from "./questions.js";

followPrices(document.querySelector("#prices"));
document.querySelectorAll(".question").forEach(answerInPlace);
