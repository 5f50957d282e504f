-- :checkhealth autocoder
local M = {}

local health = vim.health or require("health")
local start = health.start or health.report_start
local ok = health.ok or health.report_ok
local warn = health.warn or health.report_warn
local fail = health.error or health.report_error

local function check_editor()
  local why = vim.fn["autocoder#why_unsupported"]()
  if why == "" then
    ok("this Neovim can show ghost text")
  else
    fail(why)
  end
end

local function check_executable()
  local command = vim.fn["autocoder#executable#bridge"]()
  if vim.fn.executable(command[1]) == 0 then
    fail("no executable " .. command[1], {
      "install the Python package, then run: autocoder vim --install",
      "or set g:autocoder_command to the path of autocoder",
    })
    return false
  end
  ok("bridge: " .. table.concat(command, " "))
  return true
end

local function check_bridge()
  vim.fn["autocoder#bridge#restart"]()
  vim.wait(10000, function()
    return vim.fn["autocoder#bridge#state"]() ~= "starting"
  end, 20)
  if vim.fn["autocoder#bridge#state"]() ~= "ready" then
    fail("the bridge does not answer", { "see :Autocoder log", "run: autocoder doctor" })
    return
  end
  local hello = vim.fn["autocoder#bridge#hello"]()
  local model = type(hello.model) == "table" and hello.model.name or "?"
  ok("daemon " .. tostring(hello.version) .. ", model " .. tostring(model) .. ", " .. tostring(hello.provider))
end

local function check_keys()
  local rhs = vim.fn.maparg("<Tab>", "i")
  if rhs:find("autocoder", 1, true) then
    ok("<Tab> accepts")
  else
    warn("<Tab> is not ours: " .. (rhs == "" and "not mapped" or rhs), { "see :help autocoder-keys" })
  end
end

function M.check()
  start("autocoder")
  check_editor()
  check_keys()
  if check_executable() then
    check_bridge()
  end
end

return M
