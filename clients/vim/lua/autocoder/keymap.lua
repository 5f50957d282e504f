-- Gives a map of Insert mode another name. In Lua because the map may be a Lua function.
local M = {}

local function find(is_local, lhs)
  local maps = is_local == 1 and vim.api.nvim_buf_get_keymap(0, "i") or vim.api.nvim_get_keymap("i")
  for _, map in ipairs(maps) do
    if map.lhs == lhs then
      return map
    end
  end
  return {}
end

-- Where the function of the map `lhs` is written, as file and line; "" if in no file.
function M.source(is_local, lhs)
  local callback = find(is_local, lhs).callback
  local info = callback and debug.getinfo(callback, "S") or { source = "" }
  return info.source:sub(1, 1) == "@" and info.source .. ":" .. info.linedefined or ""
end

-- The function of an expression map; what it returns goes through autocoder#keys#own.
local function through_own(map, number)
  return function()
    local typed = map.callback()
    if type(typed) ~= "string" then
      return typed
    elseif map.replace_keycodes == 1 then
      typed = vim.api.nvim_replace_termcodes(typed, true, true, true)
    end
    return vim.fn["autocoder#keys#own"](typed, number)
  end
end

-- `name` does what `lhs` does now; `rhs` is its right side, if it has one, as it is to be.
function M.keep(is_local, lhs, name, rhs, number)
  local map = find(is_local, lhs)
  local options = { callback = map.callback }
  for _, flag in ipairs({ "expr", "noremap", "silent", "script", "replace_keycodes" }) do
    options[flag] = map[flag] == 1 or nil
  end
  if map.callback and options.expr and not options.noremap then
    options.callback, options.replace_keycodes = through_own(map, number), nil
  end
  if is_local == 1 then
    vim.api.nvim_buf_set_keymap(0, "i", name, rhs, options)
  else
    vim.api.nvim_set_keymap("i", name, rhs, options)
  end
end

return M
