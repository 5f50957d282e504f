" Draws text that is not there: at the cursor, and in lines of its own below it.
" Text properties in Vim, one extmark in Neovim. Knows nothing of suggestions.
scriptencoding utf-8

let s:type = 'AutocoderSuggestion'
let s:inline = !has('nvim') || has('nvim-0.10')

" Where it stands: buffer, lnum, lines of the buffer, what was drawn. {} if nothing is.
let s:drawn = {}
" The window whose 'scrolloff' is set aside, and its value there.
let s:held = {}
" Buffers in which there was one, and what the last sweep left behind.
let s:haunted = {}
let s:swept = []
" The popup that hides the rest of the cursor's line in Vim; 0 if none does.
let s:cover = 0

" Show `text` at the cursor in place of what was shown before.
function! autocoder#ghost#draw(text) abort
  let l:key = autocoder#context#place() + [a:text]
  if get(s:drawn, 'key', []) ==# l:key
    return
  endif
  let l:before = s:drawn
  call s:erase()
  let l:wanted = split(a:text, "\n", 1)
  let l:lines = s:fit(s:expand(copy(l:wanted)))
  let s:drawn = {'key': l:key, 'buffer': bufnr('%'), 'lnum': line('.'), 'count': line('$'),
        \ 'below': len(l:lines) - 1, 'wraps': !has('nvim') && s:wraps(l:lines[0])}
  call s:hold_view(s:drawn.below)
  let l:moves = len(l:lines) == len(l:wanted) && s:tail_can_move(l:lines)
  if has('nvim')
    call s:draw_nvim(l:lines, l:moves)
  else
    call s:draw_vim(l:lines, l:moves)
  endif
  call s:repaint(l:before, s:drawn)
endfunction

function! autocoder#ghost#clear() abort
  if empty(s:drawn)
    return
  endif
  let l:before = s:drawn
  call s:erase()
  call s:hold_view(0)
  call s:repaint(l:before, {})
endfunction

" Vim 9.2 saves a line for undo with the ghost that stood in it, and brings both back: take it out
" of the lines that were changed since, where there has been one at all.
function! autocoder#ghost#sweep() abort
  let l:now = [bufnr('%'), b:changedtick]
  if has('nvim') || !has_key(s:haunted, bufnr('%')) || s:swept ==# l:now || !empty(s:drawn)
    return
  endif
  let s:swept = l:now
  if line("'[")
    call prop_remove({'type': s:type, 'all': 1}, line("'["), max([line("'["), line("']")]))
  endif
endfunction

function! s:erase() abort
  let l:old = s:drawn
  let s:drawn = {}
  if empty(l:old) || !bufloaded(l:old.buffer)
    return
  elseif has('nvim')
    call nvim_buf_del_extmark(l:old.buffer, s:namespace(), 1)
  else
    call s:uncover()
    call s:erase_vim(l:old)
  endif
endfunction

function! s:namespace() abort
  return nvim_create_namespace('autocoder')
endfunction

function! s:draw_vim(lines, moves) abort
  if empty(prop_type_get(s:type))
    call prop_type_add(s:type, {'highlight': s:type, 'priority': 100})
  endif
  let s:haunted[bufnr('%')] = 1
  if !empty(a:lines[0])
    call prop_add(line('.'), col('.'), {'type': s:type, 'text': a:lines[0]})
  endif
  if a:moves
    let a:lines[-1] ..= s:expand_line(s:tail(), strwidth(a:lines[-1]))
    call s:cover(strwidth(a:lines[0]))
  endif
  for l:line in a:lines[1:]
    call prop_add(line('.'), 0,
          \ {'type': s:type, 'text': empty(l:line) ? ' ' : l:line, 'text_align': 'below'})
  endfor
endfunction

" Text properties cannot hide text; so blanks in a popup cover the rest of the cursor's line, which
" stands `cells` behind the cursor.
function! s:cover(cells) abort
  let [l:row, l:column] = win_screenpos(0)
  let l:width = strdisplaywidth(s:tail(), s:column() + a:cells) + (&list && &listchars =~# 'eol:')
  let s:cover = popup_create(repeat(' ', l:width), {'line': l:row + winline() - 1,
        \ 'col': l:column + wincol() - 1 + a:cells, 'wrap': 0, 'zindex': 1,
        \ 'highlight': &cursorline && &cursorlineopt !=# 'number' ? 'CursorLine' : 'Normal'})
endfunction

function! s:uncover() abort
  if s:cover
    call popup_close(s:cover)
    let s:cover = 0
  endif
endfunction

" Only near where it was drawn: a walk through five megabytes would be felt at each key.
function! s:erase_vim(old) abort
  let l:moved = abs(line('$') - a:old.count) + 1
  let l:last = getbufinfo(a:old.buffer)[0].linecount
  call prop_remove({'type': s:type, 'bufnr': a:old.buffer, 'all': 1},
        \ max([1, min([a:old.lnum - l:moved, l:last])]), min([a:old.lnum + l:moved, l:last]))
endfunction

" Vim does not always move the rows below when rows of a ghost come or go (vim#12244; 9.2 does not
" either for some), and Neovim 0.7 leaves them where they filled the window when they go; setting an
" option that shows in the whole window makes either draw it anew.
function! s:repaint(before, after) abort
  if has('nvim') ? get(a:before, 'below', 0) > get(a:after, 'below', 0)
        \ : s:has_rows(a:before) || s:has_rows(a:after)
    let &l:list = &l:list
  endif
endfunction

function! s:has_rows(drawn) abort
  return !empty(a:drawn) && (a:drawn.below || a:drawn.wraps)
endfunction

" Does the cursor's line need another row for the ghost, or for the next letter before it?
function! s:wraps(first) abort
  return &wrap && s:column() + strwidth(a:first) + strdisplaywidth(s:tail(), s:column())
        \ + &tabstop > s:text_width()
endfunction

" Vim counts a ghost's lines to those that 'scrolloff' wants below the cursor, and would scroll.
function! s:hold_view(below) abort
  if !empty(s:held) && (!a:below || s:held.window != win_getid())
    noautocmd call setwinvar(s:held.window, '&scrolloff', s:held.scrolloff)
    let s:held = {}
  endif
  if a:below && empty(s:held) && !has('nvim') && &scrolloff
    let s:held = {'window': win_getid(), 'scrolloff': &l:scrolloff}
    noautocmd let &l:scrolloff = 0
  endif
endfunction

function! s:draw_nvim(lines, moves) abort
  let l:mark = {'id': 1, 'hl_mode': 'combine',
        \ 'virt_text': [[a:lines[0], s:type]] + s:behind(a:lines[0], a:moves),
        \ 'virt_text_pos': s:inline && !a:moves ? 'inline' : 'overlay',
        \ 'virt_lines': map(a:lines[1:], '[[v:val, s:type]]')}
  if a:moves
    call add(l:mark.virt_lines[-1], [s:expand_line(s:tail(), strwidth(a:lines[-1])), 'Normal'])
  endif
  call nvim_buf_set_extmark(0, s:namespace(), line('.') - 1, col('.') - 1, l:mark)
endfunction

" Behind several lines the rest of the cursor's line can stand at the end of the last, where it
" will be; it is covered at its present place, if that is on one row of the screen.
function! s:tail_can_move(lines) abort
  if len(a:lines) == 1 || empty(s:tail()) || !has('nvim') && !exists('*popup_create')
    return 0
  endif
  let l:at = s:column() + (has('nvim') ? 0 : strwidth(a:lines[0]))
  return l:at + strdisplaywidth(s:tail(), l:at) <= s:text_width()
endfunction

" What an overlay needs behind the ghost's first line: blanks, or the rest of the line.
function! s:behind(first, moves) abort
  let l:width = strdisplaywidth(s:tail(), s:column())
  if a:moves
    return [[repeat(' ', l:width - strwidth(a:first)), 'Normal']]
  endif
  return s:inline || !l:width ? []
        \ : [[s:expand_line(s:tail(), s:column() + strwidth(a:first)), 'Normal']]
endfunction

function! s:head() abort
  return strpart(getline('.'), 0, col('.') - 1)
endfunction

function! s:tail() abort
  return strpart(getline('.'), col('.') - 1)
endfunction

" The cells left of the cursor in its line.
function! s:column() abort
  return strdisplaywidth(s:head())
endfunction

" The lines as they will stand on the screen: virtual text knows no tabs.
function! s:expand(lines) abort
  let a:lines[0] = s:without_marks(a:lines[0])
  return map(a:lines, 's:expand_line(v:val, v:key == 0 ? s:column() : 0)')
endfunction

" Combining marks at the beginning belong to the letter before the cursor, which was typed.
function! s:without_marks(text) abort
  let l:text = a:text
  while !empty(l:text) && strchars('x' .. strcharpart(l:text, 0, 1), 1) == 1
    let l:text = strcharpart(l:text, 1)
  endwhile
  return l:text
endfunction

function! s:expand_line(text, column) abort
  let [l:out, l:width] = ['', a:column]
  for l:piece in split(a:text, '\t\zs', 1)
    let l:plain = strtrans(trim(l:piece, "\t", 2))
    let l:width += strwidth(l:plain)
    let l:tab = l:piece =~# '\t$' ? s:tab_width(l:width) : 0
    let l:out ..= l:plain .. repeat(' ', l:tab)
    let l:width += l:tab
  endfor
  return l:out
endfunction

function! s:tab_width(column) abort
  return &tabstop - a:column % &tabstop
endfunction

" No more lines than the window has room for below the cursor's, so that nothing scrolls; what
" is left out is counted at the end of the last one.
function! s:fit(lines) abort
  let l:room = s:room(a:lines[0])
  if len(a:lines) - 1 <= l:room.rows && s:narrow(a:lines[0], l:room)
    return a:lines
  endif
  let l:kept = a:lines[: l:room.rows]
  let l:left = len(a:lines) - len(l:kept)
  let l:kept[0] = s:cut(l:kept[0], l:room.cells - (l:left && len(l:kept) == 1 ? 5 : 0))
  let l:kept[-1] ..= l:left ? ' … +' .. l:left : ''
  return l:kept
endfunction

function! s:narrow(first, room) abort
  return strwidth(a:first) <= a:room.cells
endfunction

function! s:cut(text, cells) abort
  return strwidth(a:text) <= a:cells ? a:text
        \ : a:cells < 1 ? '' : printf('%.*S…', a:cells - 1, a:text)
endfunction

function! s:text_width() abort
  return winwidth(0) - getwininfo(win_getid())[0].textoff
endfunction

" rows: below the cursor's line in the window; cells: left for the first line of the ghost. Neovim
" before 0.10 shows nothing right above a closed fold.
function! s:room(first) abort
  let l:room = s:room_in_window(a:first)
  return s:inline || foldclosed(line('.') + 1) < 0 ? l:room : extend(l:room, {'rows': 0})
endfunction

function! s:room_in_window(first) abort
  let l:width = s:text_width()
  let [l:column, l:tail] = [s:column(), strdisplaywidth(s:tail(), s:column())]
  if !&wrap || !s:inline
    return {'rows': winheight(0) - winline(), 'cells': s:right_of_cursor()}
  endif
  let l:top = winline() - 1 - l:column / l:width
  let l:cells = (winheight(0) - l:top) * l:width - l:column - l:tail - 1
  let l:used = (l:column + l:tail + min([strwidth(a:first), l:cells])) / l:width + 1
  return {'rows': max([0, winheight(0) - l:top - l:used]), 'cells': max([0, l:cells])}
endfunction

" Overlays end where the screen line does; without 'wrap' Vim would scroll sideways for more, and
" a newer one for the last cell.
function! s:right_of_cursor() abort
  return winwidth(0) - wincol() + has('nvim')
endfunction
