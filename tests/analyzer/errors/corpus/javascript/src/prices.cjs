exports.makePrice = function (amount) {
  return { amount: amount.toFixed(2) };
};
